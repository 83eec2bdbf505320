import { expect, test } from "vitest";

import { grantable, hasScope, share } from "../src/model/project";

test("a scope includes those before it", () => {
  expect(hasScope({ scope: "admin" }, "write")).toBe(true);
  expect(hasScope({ scope: "read" }, "read")).toBe(true);
  expect(hasScope({ scope: "read" }, "write")).toBe(false);
  expect(hasScope({ scope: "admin" }, "operator")).toBe(false);
});

test("a key has at most the scope of who makes it", () => {
  expect(grantable({ scope: "admin" })).toEqual(["read", "write", "admin"]);
});

test("a share of nothing is not known", () => {
  expect(share(1, 4)).toBe("25.0%");
  expect(share(0, 0)).toBe("–");
});
