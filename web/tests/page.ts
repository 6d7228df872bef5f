import { test as plain, expect, type Page } from "@playwright/test";
import axe from "axe-core";

/** A page that may talk to its own server alone, and whose scripts must not complain. */
export const test = plain.extend({
  page: async ({ page }, use) => {
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      // What a browser says of a refused request is what several tests are about.
      const refused = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !refused) complaints.push(message.text());
    });
    page.on("request", (request) => {
      if (new URL(request.url()).hostname !== "127.0.0.1") complaints.push(`asked ${request.url()}`);
    });
    await use(page);
    expect(complaints).toEqual([]);
  },
});

export { expect };

export async function open(page: Page, hash = "#/for-you"): Promise<void> {
  await page.goto(`/${hash}`);
  await expect(page.locator("h1")).toBeVisible();
  if (!hash.includes("operate")) await settled(page);
}

/** Waits until the list is there and no other one is on its way. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator(".list .card:not(.waiting), .results .notice").first()).toBeVisible();
  await expect(page.locator(".list[aria-busy=true]")).toHaveCount(0);
}

export function titles(page: Page): Promise<string[]> {
  return page.locator(".card .title").allTextContents();
}

/** Tells what axe finds that is serious or worse. */
export async function faults(page: Page): Promise<string[]> {
  // Colours that are still fading in would be measured as they are on the way.
  await page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running"));
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations } = await (window as unknown as { axe: typeof axe }).axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`));
  });
}
