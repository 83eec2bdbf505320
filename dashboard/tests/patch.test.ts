import { expect, test } from "vitest";

import { patchOf } from "../src/model/patch";

const method = { name: "relora", rank: 16, alpha: null, targets: ["q", "v"] };

test("only what changed is in the patch", () => {
  const to = { name: "second", method: { name: "relora", rank: 8, targets: ["q", "v"] } };
  expect(patchOf({ name: "first", method }, to)).toEqual({ name: "second", method: { rank: 8 } });
});

test("a list is replaced, and what was taken away is removed", () => {
  const to = { method: { name: "relora", targets: ["q"] } };
  expect(patchOf({ method }, to)).toEqual({ method: { rank: null, alpha: null, targets: ["q"] } });
});

test("another kind has no field of the one before, not even an empty one", () => {
  expect(patchOf({ method }, { method: { name: "full" } })).toEqual({
    method: { name: "full", rank: null, alpha: null, targets: null },
  });
});

test("what is the same needs no change", () => {
  expect(patchOf({ method, labels: {} }, { method })).toEqual({});
});
