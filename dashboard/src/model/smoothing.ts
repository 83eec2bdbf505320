/** Exponential means. */

type Values = readonly (number | null)[];

/** The exponential mean of the values, without the bias of its start. A gap stays a gap. */
export function smoothed(values: Values, weight: number): (number | null)[] {
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** The weight for so many reports: over a hundredth of them, and at most over a dozen. */
export function usualWeight(reports: number): number {
  return Math.min(0.92, Math.max(0.5, 1 - 100 / Math.max(1, reports)));
}
