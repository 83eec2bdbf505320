/** The grid of a sweep, and which of its jobs is the best. */

import type { components } from "../api/schema";
import { UNKNOWN } from "./format";

export type Sweep = components["schemas"]["Sweep"];
type SweepJob = Sweep["jobs"][number];

/** The fields of the grid, in the order in which they were asked for. */
export function fieldsOf({ grid, jobs }: Pick<Sweep, "grid" | "jobs">): string[] {
  const changed = new Set(jobs.flatMap(({ changes }) => Object.keys(changes)));
  const asked = Object.keys(grid).filter((field) => changed.delete(field));
  return [...asked, ...changed];
}

/** A value of the grid as it is written in a spec. */
export function textOf(value: unknown): string {
  if (value === undefined) return UNKNOWN;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The id of the job with the lowest perplexity among two or more, or null. */
export function bestOf(jobs: readonly SweepJob[]): string | null {
  const scored = jobs.filter(({ validation_perplexity: score }) => score !== null);
  if (scored.length < 2) return null;
  const score = (one: SweepJob) => one.validation_perplexity ?? Number.POSITIVE_INFINITY;
  return scored.reduce((best, one) => (score(one) < score(best) ? one : best)).job_id;
}
