/** The plan of a run, as far as its spec says it: phases, restarts, learning rate. */

import type { Job } from "../api/types";

/** Steps from `start` to `end` that train in one phase. */
export interface Cycle {
  start: number;
  end: number;
  phase: "first" | "low_rank";
}

export interface Plan {
  totalSteps: number;
  /** Steps of the first phase; equal to `totalSteps` where there is no second one. */
  firstSteps: number;
  /** The steps before which a restart comes. */
  restarts: number[];
}

type Method = Record<string, unknown>;

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Return the plan of a job. Methods without a low-rank phase have one phase. */
export function planOf(job: Pick<Job, "spec" | "progress">): Plan {
  const method = (job.spec.method ?? {}) as Method;
  const totalSteps = job.progress.total_steps;
  const isLowRank = method.name === "relora" || method.name === "lora";
  if (!isLowRank) return { totalSteps, firstSteps: totalSteps, restarts: [] };
  const firstSteps = Math.min(number(method.warm_start_steps) ?? 0, totalSteps);
  const every = method.name === "relora" ? number(method.reset_every) : null;
  const growth = number(method.reset_growth) ?? 1;
  return { totalSteps, firstSteps, restarts: restartsOf(firstSteps, every, growth, totalSteps) };
}

/** The first multiple of `every` after the first low-rank step, then one for each cycle. */
export function restartsOf(
  firstSteps: number,
  every: number | null,
  growth: number,
  totalSteps: number,
): number[] {
  if (every === null || every < 1) return [];
  const restarts: number[] = [];
  let step = (Math.floor(firstSteps / every) + 1) * every;
  let length = every;
  while (step < totalSteps && restarts.length < 10_000) {
    restarts.push(step);
    length *= growth;
    step += Math.max(1, Math.round(length));
  }
  return restarts;
}

/** The pieces of the progress bar: the first phase, then one for each cycle. */
export function cyclesOf(plan: Plan): Cycle[] {
  const starts = [...(plan.firstSteps > 0 ? [0] : []), plan.firstSteps, ...plan.restarts];
  return starts
    .map((start, index) => ({
      start,
      end: starts[index + 1] ?? plan.totalSteps,
      phase: start < plan.firstSteps ? ("first" as const) : ("low_rank" as const),
    }))
    .filter((cycle) => cycle.end > cycle.start);
}

export interface Schedule {
  totalSteps: number;
  firstSteps: number;
  restarts: number[];
  warmupSteps: number;
  restartWarmupSteps: number;
  learningRate: number;
  lowRankLearningRate: number;
  minRatio: number;
}

/** The learning rate of the step `step` under the jagged cosine. */
export function jaggedCosine(schedule: Schedule, step: number): number {
  const lowRank = step >= schedule.firstSteps;
  const peak = lowRank ? schedule.lowRankLearningRate : schedule.learningRate;
  const starts = lowRank ? [schedule.firstSteps, ...schedule.restarts] : [0];
  const since = starts.findLast((start) => start <= step) ?? 0;
  const taken = step - since;
  if (since <= schedule.warmupSteps || taken >= schedule.restartWarmupSteps) {
    return peak * cosine(schedule, step);
  }
  const target = cosine(schedule, since + schedule.restartWarmupSteps);
  return (peak * target * (taken + 1)) / schedule.restartWarmupSteps;
}

function cosine(schedule: Schedule, step: number): number {
  if (step < schedule.warmupSteps) return (step + 1) / schedule.warmupSteps;
  const length = Math.max(1, schedule.totalSteps - schedule.warmupSteps);
  const done = Math.min(1, (step - schedule.warmupSteps) / length);
  return schedule.minRatio + (1 - schedule.minRatio) * 0.5 * (1 + Math.cos(Math.PI * done));
}
