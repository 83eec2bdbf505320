/** The names of the phases above the charts, and a flag for each restart. */

import { isPhone } from "../media";
import { count } from "../model/format";
import type { Plan } from "../model/plan";
import type { Restart } from "../model/restarts";

interface RulerProps {
  plan: Plan;
  restarts: Restart[];
  planned: number[];
  /** Where a step is, as a share of the width. */
  at: (step: number) => number;
  opened: number | null;
  onOpen: (number: number | null) => void;
}

const CLOSEST = 0.016; // flags that are closer would cover each other

export function Ruler({ plan, restarts, planned, at, opened, onOpen }: RulerProps) {
  const isSeen = (step: number) => at(step) >= 0 && at(step) <= 1;
  const between = spacing([...restarts.map(({ step }) => step), ...planned], at);
  const every = Math.ceil(CLOSEST / Math.max(1e-4, between));
  const hasTwoPhases = plan.firstSteps > 0 && plan.firstSteps < plan.totalSteps;
  const room = isPhone.value ? 0.22 : 0.07; // that the name of a phase needs
  const afterwards = Math.min(1, ...[...restarts.map(({ step }) => step), ...planned].map(at).filter((one) => one > at(plan.firstSteps)));
  return (
    <div class="ruler">
      {hasTwoPhases && isSeen(0) && at(plan.firstSteps) - at(0) > room && (
        <span class="phase" style={{ left: `${100 * at(0)}%` }}>
          Warm start
        </span>
      )}
      {hasTwoPhases && isSeen(plan.firstSteps) && afterwards - at(plan.firstSteps) > room && (
        <span class="phase" style={{ left: `${100 * at(plan.firstSteps)}%` }}>
          Low rank
        </span>
      )}
      {restarts
        .filter(({ number, step }) => isSeen(step) && (number % every === 0 || number === opened))
        .map(({ number, step }) => (
          <button
            key={number}
            class={number === opened ? "flag on" : "flag"}
            style={{ left: `${100 * at(step)}%` }}
            aria-label={`Restart ${number}, step ${count(step)}`}
            aria-expanded={number === opened}
            onClick={() => onOpen(number)}
            onMouseEnter={() => onOpen(number)}
            onMouseLeave={() => onOpen(null)}
            onFocus={() => onOpen(number)}
            onBlur={() => onOpen(null)}
          >
            {number}
          </button>
        ))}
      {every === 1 &&
        planned.filter(isSeen).map((step, index) => (
          <span
            key={step}
            class="flag planned"
            style={{ left: `${100 * at(step)}%` }}
            title={`Restart ${restarts.length + index + 1}, planned for step ${count(step)}`}
          >
            {restarts.length + index + 1}
          </span>
        ))}
    </div>
  );
}

/** The share of the width between the first two restarts. */
function spacing(steps: number[], at: (step: number) => number): number {
  const [first, second] = steps;
  return first === undefined || second === undefined ? 1 : at(second) - at(first);
}
