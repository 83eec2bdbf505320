/** Several jobs in one chart: their axes, their colours and the places of their names. */

import type { Job, Metrics } from "../api/types";
import type { Estimated } from "../api/specs";
import { AXES, type Axis, axesOf, curveOf, firstAbove, interpolated, type Place, placeOn, SERIES } from "./curves";
import { methodOf } from "./job";

export interface Compared {
  job: Job;
  metrics: Metrics;
  estimate: Estimated["estimate"];
}

export type CompareAxis = Axis | "flops";

/** The axes that all jobs have. */
export function axesOfAll(compared: Compared[]): CompareAxis[] {
  const shared = AXES.filter((axis) => compared.every(({ metrics }) => axesOf(metrics).includes(axis)));
  return compared.every(({ estimate }) => estimate) ? [...shared, "flops"] : shared;
}

export function placeOf(axis: CompareAxis, { metrics, estimate }: Compared): Place {
  return axis === "flops" ? flopsAt(estimate) : placeOn(axis, metrics);
}

export interface Score {
  axis: CompareAxis;
  /** As far as all jobs have come. */
  at: number;
  /** The validation loss there, between the two measures around it; null: measured too late. */
  losses: (number | null)[];
  /** Whether a job has gone on since. */
  goesOn: boolean[];
}

/** The scores of the jobs where all have seen as many steps, tokens, seconds or FLOPs. */
export function equalScores(compared: Compared[]): Score[] {
  const curves = compared.map(({ metrics }) => curveOf(metrics, "validation_loss"));
  if (curves.some((curve) => !curve?.steps.length)) return [];
  return axesOfAll(compared).map((axis) => {
    const places = compared.map((one, index) => curves[index]?.steps.map(placeOf(axis, one)) ?? []);
    const ends = places.map((xs) => xs.at(-1) ?? 0);
    const at = Math.min(...ends);
    return {
      axis,
      at,
      losses: places.map((xs, index) => valueAt(xs, curves[index]?.values ?? [], at)),
      goesOn: ends.map((end) => end > at),
    };
  });
}

/** What a curve is above another at its own places; null where only one of both is. */
export function gapTo(
  base: { xs: number[]; values: readonly (number | null)[] },
  one: { xs: number[]; values: readonly (number | null)[] },
): (number | null)[] {
  return one.xs.map((x, index) => {
    const value = one.values[index] ?? null;
    const other = valueAt(base.xs, base.values, x);
    return value === null || other === null ? null : value - other;
  });
}

/** The value between the two points around a place; null outside of the curve or in a gap. */
function valueAt(xs: number[], values: readonly (number | null)[], x: number): number | null {
  const after = firstAbove(xs, x);
  const [x0, y0] = [xs[after - 1], values[after - 1] ?? null];
  if (x0 === undefined || y0 === null) return null;
  if (x0 === x) return y0;
  const [x1, y1] = [xs[after], values[after] ?? null];
  return x1 === undefined || y1 === null ? null : y0 + ((x - x0) / (x1 - x0)) * (y1 - y0);
}

/** The FLOPs that a run has executed at a step, as they are estimated for each phase. */
export function flopsAt(estimate: Estimated["estimate"]): Place {
  const steps = [0];
  const flops = [0];
  for (const phase of estimate?.run.phases ?? []) {
    steps.push((steps.at(-1) ?? 0) + phase.steps);
    flops.push((flops.at(-1) ?? 0) + phase.executed_flops_per_token * phase.tokens);
  }
  return interpolated(steps, flops);
}

// A method keeps its colour; a second job of the same method gets the next that is free.
const COLORS: Record<string, string> = {
  full: "s6",
  relora: "s1",
  lora: "s2",
  galore: "s3",
  lowrank: "s4",
  control: "s5",
};
export const DASHES: Record<string, number[]> = {
  s2: [6, 3],
  s3: [2, 2],
  s4: [9, 3],
  s5: [6, 2, 2, 2],
};

export function colorsOf(jobs: Job[]): string[] {
  const taken = new Set<string>();
  return jobs.map((job) => {
    const own = COLORS[methodOf(job)] ?? "s1";
    const free = [own, ...SERIES].find((color) => !taken.has(color));
    if (free) taken.add(free);
    return free ?? "ctl";
  });
}

/**
 * A name for each job that no other has. Before a shared name stand the method or the end of the id,
 * so that what differs is seen where there is room for the beginning alone.
 */
export function namesOf(jobs: Job[]): string[] {
  const names = jobs.map((job) => job.name || job.id);
  const withMethods = toldApart(names, jobs.map(methodOf));
  return toldApart(withMethods, jobs.map((job) => job.id.slice(-4)));
}

/** Put what differs before those names that several have. */
function toldApart(names: string[], more: string[]): string[] {
  return names.map((name, index) => {
    const same = new Set(more.filter((_, other) => names[other] === name));
    return same.size > 1 ? `${more[index]} · ${name}` : name;
  });
}

/** Move heights down so that each two are `gap` apart at least. */
export function spread(heights: readonly number[], gap: number): number[] {
  const order = [...heights.keys()].sort(
    (one, other) => (heights[one] ?? 0) - (heights[other] ?? 0),
  );
  const moved = [...heights];
  let last = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    last = Math.max(last + gap, heights[index] ?? 0);
    moved[index] = last;
  }
  return moved;
}
