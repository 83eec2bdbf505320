/** The learning rate of a small run with three restarts, as a picture. */

import { exponent } from "../model/format";
import { jaggedCosine, restartsOf, type Schedule } from "../model/plan";

const SCHEDULE: Schedule = {
  totalSteps: 550,
  firstSteps: 110,
  restarts: restartsOf(110, 110, 1, 550),
  warmupSteps: 30,
  restartWarmupSteps: 10,
  learningRate: 3e-3,
  lowRankLearningRate: 4e-3,
  minRatio: 0.1,
};
const WIDTH = 800;
const HEIGHT = 260;
const TOP = 24;
const BOTTOM = 24;
const LEFT = 40;
const HIGHEST = 4.4e-3;

const x = (step: number) => LEFT + (step / SCHEDULE.totalSteps) * (WIDTH - LEFT - 8);
const y = (rate: number) => TOP + (1 - rate / HIGHEST) * (HEIGHT - TOP - BOTTOM);

const curve = Array.from({ length: SCHEDULE.totalSteps }, (_, step) => {
  const point = `${x(step).toFixed(1)} ${y(jaggedCosine(SCHEDULE, step)).toFixed(1)}`;
  return (step ? "L" : "M") + point;
}).join("");

/** The curve alone, as wide as its box. */
export function LearningRate() {
  return (
    <svg class="rate" viewBox={`${LEFT} 0 ${WIDTH - LEFT} ${HEIGHT}`} preserveAspectRatio="none">
      <path class="curve" d={curve} />
    </svg>
  );
}

/** The curve with its axes, its warm start and its restarts. */
export function LearningRateChart() {
  const foot = y(0);
  return (
    <svg
      class="rate"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label="The learning rate of a run: a warm start, then three restarts, each with a short warm-up"
    >
      <rect class="band" x={x(0)} y={TOP} width={x(SCHEDULE.firstSteps) - x(0)} height={foot - TOP} />
      {[1e-3, 2e-3, 3e-3, 4e-3].map((rate) => (
        <g key={rate}>
          <path class="grid" d={`M${LEFT} ${y(rate)}H${WIDTH}`} />
          <text class="tick" x={LEFT - 8} y={y(rate) + 4} text-anchor="end">
            {exponent(rate, 0)}
          </text>
        </g>
      ))}
      <path class="axis" d={`M${LEFT} ${foot}H${WIDTH}`} />
      {[0, 110, ...SCHEDULE.restarts, 550].map((step) => (
        <text
          class="tick"
          key={step}
          x={x(step)}
          y={HEIGHT - 6}
          text-anchor={step === SCHEDULE.totalSteps ? "end" : "middle"}
        >
          {step}
        </text>
      ))}
      <text class="word" x={x(0) + 6} y={TOP - 8}>
        Warm start
      </text>
      {SCHEDULE.restarts.map((step, index) => (
        <g key={step}>
          <path class="restart" d={`M${x(step)} ${TOP}V${foot}`} />
          <text class="flag" x={x(step) + 4} y={TOP - 8}>
            {index === 0 ? "Restart 1" : index + 1}
          </text>
        </g>
      ))}
      <path class="curve" d={curve} />
    </svg>
  );
}
