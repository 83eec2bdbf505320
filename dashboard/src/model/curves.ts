/** The curves of a job: joined as they grow, and placed on an axis of steps, tokens or time. */

import type { Curve, Metrics } from "../api/types";

export type Axis = "step" | "tokens" | "time";
export type Range = readonly [number, number];

/** The colours of the curves that have one each, as `tokens.css` and `views.css` name them. */
export const SERIES = ["s1", "s2", "s3", "s4", "s5", "s6"];

export const AXES: Axis[] = ["step", "tokens", "time"];

export function curveOf(metrics: Metrics, name: string): Curve | null {
  return metrics.curves.find((curve) => curve.name === name) ?? null;
}

/** Whether every point that the server has is in the curve. */
export function isWhole(curve: Curve): boolean {
  return curve.steps.length === curve.num_points;
}

export function lastStep(metrics: Metrics): number {
  return Math.max(-1, ...metrics.curves.map((curve) => curve.steps.at(-1) ?? -1));
}

/** Steps at which a run went back, so that points that are known may have changed. */
export function turns(metrics: Metrics): number {
  return metrics.markers.filter(({ kind }) => kind === "resume" || kind === "rewind").length;
}

/** Add the points after the last known step. Curves that are only in one of both are kept. */
export function joined(known: Metrics, news: Metrics): Metrics {
  const names = new Set([...known.curves, ...news.curves].map((curve) => curve.name));
  const curves = [...names].map((name) => {
    const before = curveOf(known, name);
    const after = curveOf(news, name);
    if (!before || !after) return (before ?? after) as Curve;
    const last = before.steps.at(-1) ?? -1;
    const first = after.steps.findIndex((step) => step > last);
    if (first < 0) return before;
    const steps = [...before.steps, ...after.steps.slice(first)];
    return {
      ...before,
      steps,
      values: [...before.values, ...after.values.slice(first)],
      num_points: before.num_points + after.num_points - first,
    };
  });
  const events = new Set(known.markers.map((marker) => marker.event));
  const markers = news.markers.filter((marker) => !events.has(marker.event));
  return { curves, markers: [...known.markers, ...markers] };
}

/** Where a step lies on an axis. Between two reports it is interpolated. */
export type Place = (step: number) => number;

const POSITIONS = { tokens: "tokens_seen", time: "time" } as const;

/** The axes that the curves can be drawn on. Jobs of earlier versions have no time. */
export function axesOf(metrics: Metrics): Axis[] {
  return AXES.filter((axis) => axis === "step" || curveOf(metrics, POSITIONS[axis]));
}

/** The curves that are drawn on an axis, and what places them there. */
export function drawnOn(axis: Axis, metrics: Metrics): string[] {
  const others = Object.entries(POSITIONS).filter(([one]) => one !== axis);
  const notDrawn = new Set<string>(others.map(([, name]) => name));
  return metrics.curves.map(({ name }) => name).filter((name) => !notDrawn.has(name));
}

/** Return the place of each step on the axis.
 *
 * The time begins with the run, also where `metrics` are a part of it; `whole` are all of it.
 */
export function placeOn(axis: Axis, metrics: Metrics, whole = metrics): Place {
  if (axis === "step") return (step) => step;
  if (axis === "tokens") {
    const [steps, tokens] = pointsOf(metrics, POSITIONS.tokens);
    return interpolated([0, ...steps], [0, ...tokens]);
  }
  const start = interpolated(...pointsOf(whole, POSITIONS.time))(0);
  const at = interpolated(...pointsOf(metrics, POSITIONS.time));
  return (step) => at(step) - start;
}

function pointsOf(metrics: Metrics, name: string): [number[], number[]] {
  const curve = curveOf(metrics, name);
  return [curve?.steps ?? [], curve?.values.map((value) => value ?? 0) ?? []];
}

/** Piecewise linear through the points; beyond both ends, in the direction of the last piece. */
export function interpolated(xs: readonly number[], ys: readonly number[]): Place {
  return (x) => {
    if (xs.length < 2) return 0;
    const after = Math.min(xs.length - 1, Math.max(1, firstAbove(xs, x)));
    const [x0 = 0, x1 = 1] = [xs[after - 1], xs[after]];
    const [y0 = 0, y1 = 0] = [ys[after - 1], ys[after]];
    return x1 === x0 ? y1 : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
  };
}

/** The index of the first number above `x` in a sorted list; its length if there is none. */
export function firstAbove(sorted: readonly number[], x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) > x) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The lowest and highest finite value of the points in a range of the axis, with room around. */
export function seenRange(
  xs: readonly number[],
  values: readonly (number | null | undefined)[],
  range: Range,
  room = 0.06,
): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let index = firstAbove(xs, range[0] - 1e-9); index < xs.length; index += 1) {
    if ((xs[index] ?? 0) > range[1]) break;
    const value = values[index];
    if (value === null || value === undefined || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return null;
  const margin = (high - low || Math.abs(high) || 1) * room;
  return [low - margin, high + margin];
}
