import { expect, test } from "vitest";

import type { Curve, Metrics } from "../src/api/types";
import {
  axesOf,
  drawnOn,
  firstAbove,
  joined,
  lastStep,
  placeOn,
  seenRange,
  turns,
} from "../src/model/curves";
import { recoveryAt } from "../src/model/restarts";
import { reportsBefore, smoothed, smoothedCurve, usualWeight } from "../src/model/smoothing";

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

test("the time of a part of a run begins with the run", () => {
  const whole = metrics([curve("time", [10, 20], [110, 120])]);
  const part = metrics([curve("time", [20, 30], [120, 150])]);
  expect(placeOn("time", part, whole)(30)).toBe(50);
});

test("an axis is there where the curves know it", () => {
  expect(axesOf(metrics([curve("tokens_seen", [1], [5])]))).toEqual(["step", "tokens"]);
});

test("only the places of the chosen axis are asked for", () => {
  const whole = metrics(["loss", "tokens_seen", "time"].map((name) => curve(name, [], [])));
  expect(drawnOn("step", whole)).toEqual(["loss"]);
  expect(drawnOn("time", whole)).toEqual(["loss", "time"]);
});

test("a curve of peaks is smoothed over its means", () => {
  const peaks = curve("loss", [1, 40, 64, 100], [2, 12, 2, 12]);
  const means = { steps: [64, 128], values: [2.2, 2.2], counts: [64, 64] };
  expect(smoothedCurve({ ...peaks, means }, 0.9)).toEqual({ steps: [64, 128], values: [2.2, 2.2] });
});

test("a mean of several reports counts as so many", () => {
  const reports = [4, 4, 4, 2, 2];
  const [, second] = smoothed([4, 2], 0.8, [3, 2]);
  expect(second).toBeCloseTo(smoothed(reports, 0.8).at(-1) ?? 0);
  expect(reportsBefore(0.9)).toBe(44);
  expect(reportsBefore(0)).toBe(0);
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
    curve("time", [10, 20, 30], [1_790_000_100, 1_790_000_200, 1_790_000_900]),
  ]);
  expect(placeOn("step", all)(15)).toBe(15);
  const tokens = placeOn("tokens", all);
  expect([tokens(0), tokens(5), tokens(15), tokens(30)]).toEqual([0, 500, 2000, 5000]);
  const time = placeOn("time", all);
  expect([0, 10, 15, 20, 30].map(time)).toEqual([0, 100, 150, 200, 900]);
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
