import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = process.env["TWOFOLD_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  base: "/page/",
  plugins: [react()],
  build: {
    outDir: "../src/twofold/serve/page",
    emptyOutDir: true,
    assetsDir: "",
    // A data: address would have to be allowed by the page's policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev` shows changes at once, over a server that runs beside it.
  server: { proxy: { "^/(?!page/|@|src/|node_modules/)": { target: server, changeOrigin: true } } },
});
