/** The restarts of a run: what each did, what it cost and what it bought. */

import type { Curve, JobEvent } from "../api/types";
import { firstAbove } from "./curves";

type OfType<T extends JobEvent["type"]> = Extract<JobEvent, { type: T }>;

export interface Recovery {
  /** Mean loss of the reports before the restart. */
  before: number;
  /** The highest loss after it, until the loss was back. */
  top: number;
  /** Steps until the loss was back; null while it is not. */
  steps: number | null;
}

export interface Restart {
  number: number;
  step: number;
  merge: OfType<"train.merge">;
  reset: OfType<"train.optimizer_reset"> | null;
  rate: OfType<"train.lr_restart"> | null;
  spectrum: OfType<"train.spectrum"> | null;
  /** What it cost and bought, once its cycle is over. */
  report: OfType<"train.restart_report"> | null;
  /** By how much the mean effective rank of the update grew since the restart before. */
  rankGained: number | null;
  recovery: Recovery | null;
}

const WINDOW = 5; // reports whose mean is one level: single reports are noisy

/** Return the restarts in the events, each once: a resumed run repeats some. */
export function restartsIn(events: readonly JobEvent[], loss: Curve | null): Restart[] {
  const merges = last(events, "train.merge");
  const resets = last(events, "train.optimizer_reset");
  const rates = last(events, "train.lr_restart");
  const spectra = last(events, "train.spectrum");
  const reports = last(events, "train.restart_report");
  const numbers = [...merges.keys()].sort((one, other) => one - other);
  return numbers.map((number, index) => {
    const merge = merges.get(number) as OfType<"train.merge">;
    const next = merges.get(numbers[index + 1] ?? -1);
    const spectrum = spectra.get(number) ?? null;
    const before = spectra.get(number - 1);
    return {
      number,
      step: merge.step,
      merge,
      reset: resets.get(number) ?? null,
      rate: rates.get(number) ?? null,
      spectrum,
      report: reports.get(number) ?? null,
      rankGained: spectrum && before ? spectrum.effective_rank - before.effective_rank : null,
      recovery: loss && recoveryAt(loss, merge.step, next?.step ?? Number.POSITIVE_INFINITY),
    };
  });
}

type Numbered = OfType<
  | "train.merge"
  | "train.optimizer_reset"
  | "train.lr_restart"
  | "train.spectrum"
  | "train.restart_report"
>;

function last<T extends Numbered["type"]>(
  events: readonly JobEvent[],
  type: T,
): Map<number, Extract<Numbered, { type: T }>> {
  const found = events.filter((event) => event.type === type) as Extract<Numbered, { type: T }>[];
  return new Map(found.map((event) => [(event as Numbered).restart, event]));
}

/** How the loss recovered from a restart before `step`, looking no further than `until`. */
export function recoveryAt(loss: Curve, step: number, until: number): Recovery | null {
  const start = firstAbove(loss.steps, step);
  const end = Math.min(firstAbove(loss.steps, until), loss.steps.length);
  const before = mean(loss.values.slice(Math.max(0, start - WINDOW), start));
  if (before === null || start >= end) return null;
  let top = Number.NEGATIVE_INFINITY;
  for (let index = start; index < end; index += 1) {
    top = Math.max(top, loss.values[index] ?? Number.NEGATIVE_INFINITY);
    const level = mean(loss.values.slice(Math.max(start, index - WINDOW + 1), index + 1));
    const isLevel = index - start + 1 >= Math.min(WINDOW, end - start);
    if (isLevel && level !== null && level <= before) {
      return { before, top, steps: (loss.steps[index] ?? step) - step };
    }
  }
  return { before, top, steps: null };
}

function mean(values: readonly (number | null)[]): number | null {
  const finite = values.filter((value): value is number => value !== null);
  return finite.length ? finite.reduce((sum, value) => sum + value, 0) / finite.length : null;
}
