/** Exponential means. */

import type { Curve } from "../api/types";

type Values = readonly (number | null)[];

export interface Series {
  steps: readonly number[];
  values: Values;
}

/** The exponential mean of the values, without the bias of its start. A gap stays a gap.
 *
 * A value that is itself the mean of several reports counts as so many.
 */
export function smoothed(values: Values, weight: number, counts?: readonly number[]): Values {
  let sum = 0;
  let total = 0;
  return values.map((value, index) => {
    if (value === null) return null;
    const kept = weight ** (counts?.[index] ?? 1);
    sum = kept * sum + (1 - kept) * value;
    total = kept * total + (1 - kept);
    return sum / total;
  });
}

/** The exponential mean of a curve: of its reports or, where it has not all of them, of their means.
 *
 * The points of a curve with means are its peaks, which are not what it is on average.
 */
export function smoothedCurve(curve: Curve, weight: number): Series {
  const { steps, values } = curve.means ?? curve;
  return { steps, values: smoothed(values, weight, curve.means?.counts) };
}

/** The weight for so many reports: over a hundredth of them, and at most over a dozen. */
export function usualWeight(reports: number): number {
  return Math.min(0.92, Math.max(0.5, 1 - 100 / Math.max(1, reports)));
}

const FORGOTTEN = 0.01;

/** How many reports before a range still count in its first value, by one percent or more. */
export function reportsBefore(weight: number): number {
  return weight > 0 ? Math.ceil(Math.log(FORGOTTEN) / Math.log(weight)) : 0;
}
