import { expect, test } from "vitest";

import { around, hasWords } from "../src/model/matching";

test("every word that is typed is somewhere in the values", () => {
  expect(hasWords("RELO 16", "llama-relora-r16", "running")).toBe(true);
  expect(hasWords("relora 32", "llama-relora-r16", "running")).toBe(false);
  expect(hasWords("", "anything")).toBe(true);
});

test("a list is gone through round its ends", () => {
  expect(around(2, 1, 3)).toBe(0);
  expect(around(0, -1, 3)).toBe(2);
  expect(around(0, 1, 0)).toBe(0);
});
