import { defineConfig } from "vitest/config";

// Addresses are relative, so that the page also works behind a proxy that adds a path.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../service/dashboard",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the policy of the page allows no data: scripts or styles
    modulePreload: { polyfill: false },
  },
  test: { include: ["tests/**/*.test.ts"], css: true },
});
