import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: ".",
  outputDir: "../test-results",
  // The tests share one server, and some change what it serves.
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 15_000 },
  reporter: "line",
  use: {
    baseURL: process.env["TWOFOLD_URL"] ?? "http://127.0.0.1:8000",
    locale: "en-GB",
    // Tests wait for what comes to rest; one of them looks at the movement itself.
    contextOptions: { reducedMotion: "reduce" },
    launchOptions: {
      executablePath: process.env["TWOFOLD_CHROMIUM"] ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
