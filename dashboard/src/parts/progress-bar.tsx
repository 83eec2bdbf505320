/** How far a job is: one piece for the first phase, and one for each cycle. Gaps are restarts. */

import type { Job } from "../api/types";
import { count } from "../model/format";
import { cyclesOf, planOf } from "../model/plan";

const MOST_PIECES = 60; // beyond that, gaps would be all there is

export function ProgressBar({ job }: { job: Job }) {
  const plan = planOf(job);
  const step = job.progress.step;
  const cycles = cyclesOf(plan);
  const pieces =
    cycles.length <= MOST_PIECES
      ? cycles
      : [
          ...cycles.filter((cycle) => cycle.phase === "first"),
          { start: plan.firstSteps, end: plan.totalSteps, phase: "low_rank" as const },
        ];
  return (
    <div
      class={`progress ${job.status}`}
      role="progressbar"
      aria-label={`Step ${count(step)} of ${count(plan.totalSteps)}`}
      aria-valuemin={0}
      aria-valuenow={step}
      aria-valuemax={plan.totalSteps}
    >
      {pieces.map((piece) => (
        <i key={piece.start} class={piece.phase} style={{ flexGrow: piece.end - piece.start }}>
          <b style={{ width: `${filled(piece.start, piece.end, step)}%` }} />
        </i>
      ))}
    </div>
  );
}

function filled(start: number, end: number, step: number): number {
  return 100 * Math.min(1, Math.max(0, (step - start) / (end - start)));
}
