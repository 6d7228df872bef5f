import { expect, open, settled, test, titles } from "./page";

test("suggests while somebody types, and is steered by keys", async ({ page }) => {
  await open(page);
  const title = (await titles(page))[0]!;
  await page.keyboard.press("/");
  const box = page.getByRole("combobox");
  await expect(box).toBeFocused();
  await page.keyboard.type(title.slice(0, 3));
  const options = page.getByRole("option");
  await expect(options.first()).toBeVisible();
  await expect(box).toHaveAttribute("aria-expanded", "true");
  await page.keyboard.press("ArrowDown");
  await expect(options.first()).toHaveAttribute("aria-selected", "true");
  await expect(box).toHaveAttribute("aria-activedescendant", (await options.first().getAttribute("id"))!);
  const chosen = await options.first().textContent();
  await page.keyboard.press("ArrowUp");
  await expect(page.getByRole("option", { selected: true })).toHaveCount(0);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(`Results for “${chosen}”`);
  await expect(box).toHaveValue(chosen!);
  await expect(options).toHaveCount(0);
});

test("drops suggestions for what is no longer typed", async ({ page }) => {
  await open(page);
  await page.route("**/suggest?*", async (route) => {
    const text = new URL(route.request().url()).searchParams.get("text")!;
    if (text === "a") await new Promise((done) => setTimeout(done, 1_000));
    await route.fulfill({ json: { titles: [`answer to ${text}`] } }).catch(() => undefined);
  });
  const box = page.getByRole("combobox");
  await box.fill("a");
  await page.waitForRequest("**/suggest?text=a");
  await box.fill("ab");
  await expect(page.getByRole("option")).toHaveText(["answer to ab"]);
  await page.waitForTimeout(1_200);
  await expect(page.getByRole("option")).toHaveText(["answer to ab"]);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("option")).toHaveCount(0);
});

test("finds what is mistyped, marks what matched, and says why", async ({ page }) => {
  await open(page);
  const word = (await titles(page)).join(" ").match(/\p{L}{6,}/u)![0];
  const wrong = word.slice(0, 3) + word.slice(4);
  await page.getByRole("combobox").fill(wrong);
  await page.keyboard.press("Enter");
  await settled(page);
  await expect(page.locator("mark").first()).toHaveText(new RegExp(word.slice(0, 3), "i"));
  await expect(page.locator(".reason").first()).toHaveText(`Matches “${wrong}”`);
});

test("filters by facets, which the address keeps", async ({ page }) => {
  await open(page);
  const choice = page.locator(".choice").first();
  const name = (await choice.locator("span").textContent())!;
  const count = Number(await choice.locator("small").textContent());
  await choice.click();
  await expect(page.locator(".facets summary")).toContainText(`${count} items`);
  await settled(page);
  for (const facts of await page.locator(".facts").allTextContents()) expect(facts).toContain(name);
  await page.reload();
  await expect(page.getByRole("button", { name: `Remove the filter Categories: ${name}` })).toBeVisible();
  await page.getByLabel("from").first().fill("3000");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Nothing found" })).toBeVisible();
  await page.goBack();
  await settled(page);
  await page.getByRole("button", { name: `Remove the filter Categories: ${name}` }).click();
  await expect(page.locator(".chips")).toHaveCount(0);
});

test("a like changes the list at once, and says so", async ({ page }) => {
  await open(page);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Popular now");
  const before = await titles(page);
  const stored = page.waitForRequest((request) => request.url().endsWith("/events"));
  await page.getByRole("button", { name: `Like: ${before[1]}`, exact: true }).click();
  expect((await stored).postDataJSON()).toMatchObject({ kind: "like", slate: expect.stringMatching(/^[0-9a-f]{32}$/) });
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("For you");
  await expect(page.getByRole("status").filter({ hasText: /The list has changed: \d+ of/ })).toBeVisible();
  const after = await titles(page);
  expect(after).not.toContain(before[1]);
  expect(after).not.toEqual(before);
  await expect(page.locator(".reason", { hasText: `Because of ${before[1]}` }).first()).toBeVisible();
  await expect(page.locator(".badge").first()).toHaveText("New");
});

for (const [name, kind] of [
  ["Dislike", "dislike"],
  ["Not interested", "dismiss"],
] as const) {
  test(`what somebody meets with “${name}” is gone from the list, and from a search`, async ({ page }) => {
    await open(page);
    const title = (await titles(page))[0]!;
    const stored = page.waitForRequest((request) => request.url().endsWith("/events"));
    await page.getByRole("button", { name: `${name}: ${title}`, exact: true }).click();
    expect((await stored).postDataJSON()).toMatchObject({ kind });
    await expect(page.getByRole("button", { name: title, exact: true })).toHaveCount(0);
    await page.getByRole("combobox").fill(title);
    await page.keyboard.press("Enter");
    await settled(page);
    expect(await titles(page)).not.toContain(title);
  });
}

test("what cannot be stored is taken back, and the server's reason is shown", async ({ page }) => {
  await open(page);
  const before = await titles(page);
  const detail = "events cannot be stored or read now; try again soon.";
  await page.route("**/events", (route) =>
    route.fulfill({ status: 503, contentType: "application/problem+json", json: { status: 503, title: "", detail } }),
  );
  const like = page.getByRole("button", { name: `Like: ${before[0]}`, exact: true });
  await like.click();
  await expect(page.getByRole("status").filter({ hasText: "Events cannot be stored" })).toBeVisible();
  await expect(like).toHaveAttribute("aria-pressed", "false");
  expect(await titles(page)).toEqual(before);
});

test("the dial is turned by keys and makes the list more varied", async ({ page }) => {
  await open(page);
  const before = await titles(page);
  const dial = page.getByRole("slider", { name: "Variety" });
  await dial.focus();
  await page.keyboard.press("End");
  await expect(dial).toHaveAttribute("aria-valuetext", "100 % variety");
  await expect.poll(() => titles(page)).not.toEqual(before);
  expect((await titles(page))[0]).toBe(before[0]);
  await page.keyboard.press("Home");
  await expect.poll(() => titles(page)).toEqual(before);
});

test("asks for a known user, and for a new one", async ({ page }) => {
  await open(page);
  const strangers = await titles(page);
  await page.getByRole("button", { name: "For a new visitor" }).click();
  await page.keyboard.type("user-000");
  await page.getByRole("button", { name: "user-0003" }).click();
  await expect(page.getByRole("button", { name: "For user-0003" })).toBeFocused();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("For you");
  await expect(page.locator(".reason", { hasText: "Because of" }).first()).toBeVisible();
  await page.reload();
  await settled(page);
  await expect(page.getByRole("button", { name: "For user-0003" })).toBeVisible();
  await page.getByRole("button", { name: "For user-0003" }).click();
  await page.getByRole("button", { name: "Start as a new visitor" }).click();
  await expect.poll(() => titles(page)).toEqual(strangers);
});

test("tells all about an item, and shows what is like it", async ({ page }) => {
  await open(page);
  const title = (await titles(page))[0]!;
  const opener = page.getByRole("button", { name: title, exact: true });
  await opener.focus();
  await page.keyboard.press("Enter");
  const box = page.getByRole("dialog", { name: title });
  await expect(box.getByRole("heading", { name: "Why it is here" })).toBeVisible();
  await expect(box.getByText("Categories")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(box).toHaveCount(0);
  await settled(page);
  const first = (await titles(page))[0]!;
  await page.getByRole("link", { name: `More like this: ${first}`, exact: true }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(`Like ${first}`);
  await expect(page.locator(".reason").first()).toHaveText(`Like ${first}`);
});

test("is used by the keyboard alone, and keeps the focus where the list changes", async ({ page }) => {
  await open(page);
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the list" })).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page.locator("#list")).toBeFocused();
  const before = await titles(page);
  const dismiss = page.getByRole("button", { name: `Not interested: ${before[1]}`, exact: true });
  await dismiss.focus();
  await page.keyboard.press("Space");
  await expect(dismiss).toHaveCount(0);
  await expect(page.locator(".list > li").nth(1).locator(".title")).toBeFocused();
});

test("lets cards glide to their places, but not for those who want it still", async ({ page }) => {
  await page.addInitScript(() => {
    const own = Element.prototype.animate;
    const moves = window as unknown as { moves: number };
    moves.moves = 0;
    Element.prototype.animate = function (...how) {
      moves.moves += 1;
      return own.apply(this, how);
    };
  });
  for (const reducedMotion of ["reduce", "no-preference"] as const) {
    await page.emulateMedia({ reducedMotion });
    await page.goto("about:blank");
    await open(page);
    const title = (await titles(page))[0]!;
    await page.getByRole("button", { name: `Not interested: ${title}`, exact: true }).click();
    await expect(page.getByRole("button", { name: title, exact: true })).toHaveCount(0);
    const moves = await page.evaluate(() => (window as unknown as { moves: number }).moves);
    expect(moves > 0).toBe(reducedMotion === "no-preference");
  }
});

test("speaks Chinese, and remembers it", async ({ page }) => {
  await open(page);
  await page.getByRole("button", { name: "中文" }).click();
  await expect(page.locator("html")).toHaveAttribute("lang", "zh-Hans");
  await page.reload();
  await settled(page);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("大家在看");
  await expect(page.locator(".reason").first()).toHaveText("当前流行");
  await page.locator("button.like").first().click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("为你推荐");
  await expect(page.locator(".reason", { hasText: /^因为你关注过《.+》$/ }).first()).toBeVisible();
  for (const reason of await page.locator(".reason").allTextContents()) expect(reason).toMatch(/\p{Script=Han}/u);
});

test("says what is wrong, and tries again", async ({ page }) => {
  await page.route("**/recommend", (route) => route.abort());
  await page.goto("/");
  await expect(page.getByRole("alert")).toContainText("The server does not answer.");
  await page.unroute("**/recommend");
  await page.getByRole("button", { name: "Try again" }).click();
  await settled(page);
  await page.goto(`/#/for-you?filters=${encodeURIComponent('{"colour":["red"]}')}`);
  await expect(page.getByRole("alert")).toContainText("The filter names 'colour', which no item has");
});
