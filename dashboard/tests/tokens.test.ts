/** The colours of text and marks stand out enough (WCAG 2.2 AA), in both themes. */

import { describe, expect, test } from "vitest";

import css from "../src/tokens.css?raw";

const [, light = "", dark = ""] = css.split(":root");

function tokens(block: string): Record<string, string> {
  return Object.fromEntries(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]),
  );
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const part = Number.parseInt(color.slice(start, start + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

const GROUNDS = ["bg", "surface", "sunken"];
const TEXTS = ["ink", "ink2", "ink3", "accent", "rust", "ok", "warn", "bad"];
const MARKS = ["ctl"];
const SERIES = ["s1", "s2", "s3", "s4", "s5", "s6"];

describe.each([
  ["light", light],
  ["dark", dark],
])("%s", (_, block) => {
  const color = tokens(block);
  const lowest = (name: string, grounds: string[]) =>
    Math.min(...grounds.map((ground) => contrast(color[name] ?? "", color[ground] ?? "")));

  test.each(TEXTS)("text in %s is readable on every ground", (name) => {
    expect(lowest(name, GROUNDS)).toBeGreaterThanOrEqual(4.5);
  });
  test.each(MARKS)("the border %s is seen on every ground", (name) => {
    expect(lowest(name, GROUNDS)).toBeGreaterThanOrEqual(3);
  });
  test.each(SERIES)("the curve %s is seen on the page", (name) => {
    expect(lowest(name, ["bg"])).toBeGreaterThanOrEqual(3);
  });
  test.each(["ink3", "rust"])("text in %s is readable on the soft ground of a restart", (name) => {
    expect(lowest(name, ["rust-soft"])).toBeGreaterThanOrEqual(4.5);
  });
});
