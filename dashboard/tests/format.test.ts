import { describe, expect, test } from "vitest";

import * as format from "../src/model/format";

describe("what is not known", () => {
  test.each([format.count, format.short, format.duration, format.memory, format.perplexity])(
    "is an en dash, never 0",
    (write) => {
      expect(write(null)).toBe("–");
      expect(write(undefined)).toBe("–");
      expect(write(Number.NaN)).toBe("–");
    },
  );
});

test.each([
  [0, "0"],
  [412, "412"],
  [999.7, "1.00k"],
  [1000, "1.00k"],
  [811_234, "811k"],
  [1_940_000, "1.94M"],
  [9_930_000_000, "9.93B"],
  [0.0512, "0.0512"],
])("a pace of %d is %s", (value, text) => {
  expect(format.short(value)).toBe(text);
});

test.each([
  [0, "0 s"],
  [38, "38 s"],
  [38 * 60, "38 min"],
  [93 * 60, "1 h 33 min"],
  [7200, "2 h"],
  [2 * 86_400 + 4 * 3600, "2 d 4 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(format.duration(seconds)).toBe(text);
});

test.each([
  [20.14, "20.14"],
  [4274.076, "4,274"],
])("a perplexity of %d is %s", (value, text) => {
  expect(format.perplexity(value)).toBe(text);
});

test.each([
  [1.57e-4, "1.57e-4"],
  [0, "0"],
])("a learning rate of %d is %s", (value, text) => {
  expect(format.exponent(value)).toBe(text);
});

test("memory counts by 1024, files by 1000", () => {
  expect(format.memory(66.2 * 2 ** 30)).toBe("66.2 GiB");
  expect(format.fileSize(3.93e9)).toBe("3.93 GB");
  expect(format.fileSize(512)).toBe("512 B");
});

test.each([
  [1, "First"],
  [3, "Third"],
  [12, "12th"],
  [22, "22nd"],
  [113, "113th"],
])("place %d is %s", (place, text) => {
  expect(format.ordinal(place)).toBe(text);
});

test("an age has one unit, and none is negative", () => {
  const now = Date.parse("2026-01-02T12:00:00Z");
  expect(format.age("2026-01-02T11:36:00Z", now)).toBe("24 min");
  expect(format.age("2025-12-31T12:00:00Z", now)).toBe("2 d");
  expect(format.age("2026-01-02T12:00:03Z", now)).toBe("0 s");
});
