import type { Page } from "@playwright/test";
import { expect, faults, open, test } from "./page";

/** What each view is called, where it is, and what makes it so. The name goes into the address, so that it loads anew. */
const VIEWS: [string, string, ((page: Page) => Promise<unknown>)?][] = [
  ["for you", "#/for-you"],
  ["trending", "#/trending"],
  ["a search", "#/search?text=the"],
  ["no result", '#/for-you?filters={"year":{"min":3000}}'],
  ["an error", '#/for-you?filters={"colour":["red"]}'],
  ["who asks", "#/for-you", (page) => page.locator(".person > button").click()],
  [
    "suggestions",
    "#/for-you",
    async (page) => {
      await page.getByRole("combobox").pressSequentially("the");
      await expect(page.getByRole("option").first()).toBeVisible();
      await page.keyboard.press("ArrowDown");
    },
  ],
  [
    "an item",
    "#/for-you",
    async (page) => {
      await page.locator(".title").first().click();
      await expect(page.locator("dialog .similar")).toBeVisible();
    },
  ],
  [
    "operating",
    "#/operate",
    async (page) => {
      await expect(page.locator(".versions .plain")).toBeVisible();
      await page.locator(".versions .plain").click();
      expect(await faults(page)).toEqual([]);
      await page.locator("dialog .plain").click();
      await page.locator(".experiments summary").click();
      await expect(page.locator(".start select").first()).toBeVisible();
    },
  ],
];

for (const scheme of ["light", "dark"] as const) {
  for (const language of ["en", "zh"] as const) {
    test(`nothing serious is found by axe: ${scheme}, ${language}`, async ({ page }) => {
      test.setTimeout(180_000);
      await page.emulateMedia({ colorScheme: scheme });
      await page.addInitScript((spoken) => localStorage.setItem("twofold.language", spoken), language);
      for (const [name, hash, act] of VIEWS) {
        await open(page, `?${name}${hash}`);
        await act?.(page);
        expect(await faults(page), name).toEqual([]);
      }
    });
  }
}

test("everything fits a phone", async ({ page }) => {
  test.setTimeout(180_000);
  await page.setViewportSize({ width: 360, height: 740 });
  for (const language of ["en", "zh"]) {
    await page.addInitScript((spoken) => localStorage.setItem("twofold.language", spoken), language);
    for (const [name, hash, act] of VIEWS) {
      await open(page, `?${name} ${language}${hash}`);
      await act?.(page);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(over, `${name}, ${language}`).toBeLessThanOrEqual(0);
    }
  }
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, header a, .actions a")]
      .map((one) => one.getBoundingClientRect())
      .filter(({ width, height }) => width > 0 && (width < 24 || height < 24)),
  );
  expect(small).toEqual([]);
});
