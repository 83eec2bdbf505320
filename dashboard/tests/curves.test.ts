import { expect, test } from "vitest";

import type { Curve, Metrics } from "../src/api/types";
import { firstAbove, joined, lastStep, placeOn, seenRange, turns } from "../src/model/curves";
import { recoveryAt } from "../src/model/restarts";
import { smoothed, usualWeight } from "../src/model/smoothing";

function curve(name: string, steps: number[], values: (number | null)[]): Curve {
  return { name, description: "", num_points: steps.length, steps, values };
}

function metrics(curves: Curve[], markers: Metrics["markers"] = []): Metrics {
  return { curves, markers };
}

test("a smoothed value has no bias at its start, and a gap stays one", () => {
  expect(smoothed([4, 4, 4], 0.9)).toEqual([4, 4, 4]);
  const [first, gap, third] = smoothed([2, null, 4], 0.5);
  expect(first).toBe(2);
  expect(gap).toBeNull();
  expect(third).toBeCloseTo(2 + (4 - 2) * (0.5 / 0.75));
});

test("few reports are smoothed less", () => {
  expect(usualWeight(40)).toBe(0.5);
  expect(usualWeight(400)).toBe(0.75);
  expect(usualWeight(100_000)).toBe(0.92);
});

test("new points come after those that are known, once", () => {
  const known = metrics([curve("loss", [1, 2], [5, 4])]);
  const news = metrics([curve("loss", [2, 3], [4, 3]), curve("validation_loss", [3], [3.1])]);
  const both = joined(known, news);
  expect(both.curves[0]).toMatchObject({ steps: [1, 2, 3], values: [5, 4, 3], num_points: 3 });
  expect(both.curves[1]).toMatchObject({ name: "validation_loss", steps: [3] });
  expect(lastStep(both)).toBe(3);
  expect(known.curves[0]?.steps).toEqual([1, 2]);
});

test("a marker is kept once, and a resume is a turn", () => {
  const resume = { step: 3, kind: "resume" as const, attempt: 2, event: 9 };
  const both = joined(metrics([], [resume]), metrics([], [resume]));
  expect(both.markers).toEqual([resume]);
  expect(turns(both)).toBe(1);
});

test("tokens and time place a step, also between two reports and beyond the last", () => {
  const all = metrics([
    curve("tokens_seen", [10, 20], [1000, 3000]),
    curve("tokens_per_second", [10, 20], [100, 200]),
  ]);
  expect(placeOn("step", all)(15)).toBe(15);
  const tokens = placeOn("tokens", all);
  expect([tokens(0), tokens(5), tokens(15), tokens(30)]).toEqual([0, 500, 2000, 5000]);
  const time = placeOn("time", all);
  expect([time(10), time(20), time(15)]).toEqual([10, 20, 15]);
});

test("a search in sorted steps finds the first that is greater", () => {
  expect(firstAbove([1, 3, 5], 0)).toBe(0);
  expect(firstAbove([1, 3, 5], 3)).toBe(2);
  expect(firstAbove([1, 3, 5], 9)).toBe(3);
});

test("the range of what is seen passes over gaps and what is outside", () => {
  expect(seenRange([1, 2, 3, 4], [9, 2, null, 4], [2, 4], 0)).toEqual([2, 4]);
  expect(seenRange([1, 2], [null, null], [0, 9])).toBeNull();
});

test("a restart has recovered when the mean of some reports is back at the level before", () => {
  const steps = Array.from({ length: 30 }, (_, index) => (index + 1) * 10);
  const values = steps.map((step) => (step <= 100 ? 3 : step <= 150 ? 4 : 2.5));
  const found = recoveryAt(curve("loss", steps, values), 100, Number.POSITIVE_INFINITY);
  expect(found?.before).toBe(3);
  expect(found?.top).toBe(4);
  // The mean of the last five: (4 + 4 * 2.5) / 5 is the first below 3.
  expect(found?.steps).toBe(90);
});

test("a restart that has not recovered before the next one says so", () => {
  const steps = Array.from({ length: 20 }, (_, index) => (index + 1) * 10);
  const values = steps.map((step) => (step <= 100 ? 3 : step <= 150 ? 4 : 2));
  expect(recoveryAt(curve("loss", steps, values), 100, 150)?.steps).toBeNull();
  expect(recoveryAt(curve("loss", [10], [3]), 10, 100)).toBeNull();
});
