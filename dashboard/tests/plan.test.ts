import { expect, test } from "vitest";

import type { Job } from "../src/api/types";
import { cyclesOf, jaggedCosine, planOf, restartsOf } from "../src/model/plan";

function job(method: object, totalSteps: number): Job {
  return { spec: { method }, progress: { total_steps: totalSteps } } as unknown as Job;
}

test("a restart comes at each multiple of the cycle after the first low-rank step", () => {
  expect(restartsOf(110, 110, 1, 550)).toEqual([220, 330, 440]);
  expect(restartsOf(0, 100, 1, 400)).toEqual([100, 200, 300]);
  expect(restartsOf(150, 100, 1, 400)).toEqual([200, 300]);
});

test("cycles may grow", () => {
  expect(restartsOf(0, 10, 2, 100)).toEqual([10, 30, 70]);
});

test("a plan without restarts has none", () => {
  const method = { name: "lora", warm_start_steps: 10, reset_every: 5 };
  expect(planOf(job(method, 100)).restarts).toEqual([]);
  expect(restartsOf(0, null, 1, 100)).toEqual([]);
});

test("the pieces cover the run without gaps", () => {
  const method = { name: "relora", warm_start_steps: 100, reset_every: 100 };
  const cycles = cyclesOf(planOf(job(method, 450)));
  expect(cycles.map(({ start, end }) => [start, end])).toEqual([
    [0, 100],
    [100, 200],
    [200, 300],
    [300, 400],
    [400, 450],
  ]);
  expect(cycles.map(({ phase }) => phase)).toEqual(["first", ...Array(4).fill("low_rank")]);
});

test("a method of one phase is one piece", () => {
  expect(cyclesOf(planOf(job({ name: "full" }, 40)))).toEqual([
    { start: 0, end: 40, phase: "first" },
  ]);
});

test("a run that starts in low rank has no piece before it", () => {
  const cycles = cyclesOf(planOf(job({ name: "lora" }, 40)));
  expect(cycles).toEqual([{ start: 0, end: 40, phase: "low_rank" }]);
});

test("the learning rate falls at a restart and is back after its warm-up", () => {
  const schedule = {
    totalSteps: 550,
    firstSteps: 110,
    restarts: [220, 330, 440],
    warmupSteps: 30,
    restartWarmupSteps: 10,
    learningRate: 3e-3,
    lowRankLearningRate: 4e-3,
    minRatio: 0.1,
  };
  const rate = (step: number) => jaggedCosine(schedule, step);
  expect(rate(0)).toBeCloseTo(1e-4, 6);
  expect(rate(29)).toBeCloseTo(3e-3, 6);
  expect(rate(220)).toBeLessThan(rate(219) / 5);
  expect(rate(229)).toBeCloseTo(rate(230), 4);
  expect(rate(549)).toBeCloseTo(4e-4, 5);
});
