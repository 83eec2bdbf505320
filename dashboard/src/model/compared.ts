/** Several jobs in one chart: their axes, their colours and the places of their names. */

import type { Job, Metrics } from "../api/types";
import type { Estimated } from "../api/specs";
import { AXES, type Axis, axesOf, interpolated, type Place, placeOn } from "./curves";
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
    const free = [own, "s1", "s2", "s3", "s4", "s5", "s6"].find((color) => !taken.has(color));
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
