/** The loss of a job, small. Its first reports, far above the rest, are cut off. */

import type { Curve } from "../api/types";

const WIDTH = 80;
const HEIGHT = 20;

export function Sparkline({ curve, totalSteps }: { curve: Curve | null; totalSteps: number }) {
  const { steps, values } = curve?.means ?? curve ?? { steps: [], values: [] };
  const path = sparkPath(steps, values, totalSteps);
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      {path && <path d={path} />}
    </svg>
  );
}

/** The path of a curve in the box of a sparkline, or null for fewer than two points. */
export function sparkPath(
  steps: number[],
  values: (number | null)[],
  totalSteps: number,
): string | null {
  const points = steps
    .map((step, index) => ({ step, value: values[index] ?? null }))
    .filter((point): point is { step: number; value: number } => point.value !== null);
  if (points.length < 2) return null;
  const seen = points.slice(Math.min(points.length - 2, Math.ceil(points.length * 0.07)));
  const low = Math.min(...seen.map((point) => point.value));
  const high = Math.max(...seen.map((point) => point.value));
  const span = high - low || 1;
  const last = Math.max(totalSteps, points.at(-1)?.step ?? 1);
  return seen
    .map(({ step, value }, index) => {
      const x = (step / last) * WIDTH;
      const y = 1 + (1 - (value - low) / span) * (HEIGHT - 2);
      return `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
