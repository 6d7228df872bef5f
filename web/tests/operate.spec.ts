import { expect, faults, open, settled, test } from "./page";

test("shows how the server is", async ({ page }) => {
  await open(page, "#/search?text=the");
  await open(page, "#/operate");
  await expect(page.getByText("Ready", { exact: true })).toBeVisible();
  await expect(page.getByRole("rowheader", { name: "/search" })).toBeVisible();
  await expect(page.getByRole("rowheader", { name: "interactive" })).toBeVisible();
  await expect(page.getByRole("img", { name: "Quality against speed" })).toContainText("in use now");
  await expect(page.getByRole("rowheader", { name: /^(whole|small) ?in use now$/ })).toBeVisible();
  await expect(page.getByRole("rowheader", { name: "popular, last week" })).toBeVisible();
  await expect(page.getByText("simulated")).toBeVisible();
  await expect(page.getByText("No experiment has been started yet.")).toBeVisible();
});

test("starts an experiment, shows its figures, and stops it", async ({ page }) => {
  await open(page, "#/operate");
  await page.getByText("Start an experiment").click();
  await page.getByLabel("Name of the experiment").fill("variety");
  await page.getByLabel("Arm 2: share in %").fill("40");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText("The shares of the arms add up to 0.9");
  await page.getByLabel("Arm 2: share in %").fill("50");
  await page.getByLabel("Arm 2: variety in %").fill("60");
  expect(await faults(page)).toEqual([]);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await expect(page.getByRole("status").filter({ hasText: "variety is running." })).toBeVisible();

  // Whoever looks at the page is a user, too.
  const asked = page.waitForResponse((response) => response.url().endsWith("/recommend"));
  await open(page, "#/for-you");
  const { slate } = await (await asked).json();
  expect(["control", "new"]).toContain(slate.arms.variety);
  await page.locator(".title").first().click();
  await open(page, "?figures#/operate");
  const experiment = page.getByRole("article", { name: "variety" });
  const arm = experiment.getByRole("row", { name: new RegExp(`^${slate.arms.variety}`) });
  await expect(arm.getByRole("cell").nth(2)).toHaveText("1");
  await expect(experiment.getByRole("row", { name: /^new/ })).toContainText("Variety 60%");
  expect(await faults(page)).toEqual([]);

  await experiment.getByRole("button", { name: "Stop: variety" }).click();
  await page.getByRole("dialog", { name: "Stop variety?" }).getByRole("button", { name: "Do it" }).click();
  await expect(page.getByRole("status").filter({ hasText: "variety has stopped." })).toBeVisible();
  await expect(experiment).toContainText("stopped");
  await expect(experiment.getByRole("button")).toHaveCount(0);
});

test("promotes an artifact after a question, and rolls back", async ({ page }) => {
  await open(page, "#/operate");
  const versions = page.locator(".versions");
  await expect(versions.getByRole("listitem").filter({ hasText: "first" })).toContainText("answers now");
  await page.getByRole("button", { name: "Promote: second" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(versions.getByRole("listitem").filter({ hasText: "first" })).toContainText("answers now");

  await page.getByRole("button", { name: "Promote: second" }).click();
  await page.getByRole("dialog", { name: "Let second answer from now on?" }).getByRole("button", { name: "Do it" }).click();
  await expect(page.getByRole("status").filter({ hasText: "second answers now." })).toBeVisible();
  await expect(page.getByText("No figures are in this artifact.")).toBeVisible();
  await page.getByRole("button", { name: "Roll back to first" }).click();
  await page.getByRole("dialog", { name: "Go back to first?" }).getByRole("button", { name: "Do it" }).click();
  await expect(page.getByRole("status").filter({ hasText: "first answers now." })).toBeVisible();
});

test("asks for a key where the server wants one", async ({ page }) => {
  const keyed = process.env["TWOFOLD_KEYED_URL"]!;
  await page.goto(keyed);
  const field = page.getByLabel("API key");
  await field.fill("tf_wrong");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alert")).toContainText("no valid API key");
  await field.fill(process.env["TWOFOLD_READ_KEY"]!);
  await page.getByRole("button", { name: "Use this key" }).click();
  await settled(page);
  await page.reload();
  await settled(page);
  await page.locator("button.like").first().click();
  await expect(page.getByRole("status").filter({ hasText: "This takes a key of role 'event'" })).toBeVisible();
  await page.getByRole("link", { name: "Operate" }).click();
  await expect(page.getByRole("alert")).toContainText("This takes a key of role 'admin'");
  await page.getByRole("button", { name: "Change the key" }).click();
  await page.getByLabel("API key").fill(process.env["TWOFOLD_ADMIN_KEY"]!);
  await page.keyboard.press("Enter");
  await expect(page.getByText("Ready", { exact: true })).toBeVisible();
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("tf_");
});
