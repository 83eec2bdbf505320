import { expect, test } from "vitest";

import type { Estimated } from "../src/api/specs";
import type { Job } from "../src/api/types";
import { axesOfAll, colorsOf, type Compared, equalScores, flopsAt, gapTo, namesOf, spread } from "../src/model/compared";

const estimate = {
  run: {
    phases: [
      { steps: 100, tokens: 1000, executed_flops_per_token: 6 },
      { steps: 300, tokens: 3000, executed_flops_per_token: 4 },
    ],
  },
} as unknown as Estimated["estimate"];

function job(method: string): Job {
  return { spec: { method: { name: method } } } as unknown as Job;
}

test("a step costs what its phase is estimated to cost", () => {
  expect([0, 50, 100, 400].map(flopsAt(estimate))).toEqual([0, 3000, 6000, 18_000]);
});

test("FLOPs are an axis only if all jobs have an estimate", () => {
  const metrics = { curves: [], markers: [] };
  const one = { job: job("full"), metrics, estimate };
  expect(axesOfAll([one])).toEqual(["step", "flops"]);
  expect(axesOfAll([one, { ...one, estimate: null }])).toEqual(["step"]);
});

test("a method keeps its colour, and another job of it gets the next that is free", () => {
  expect(colorsOf(["relora", "full", "relora", "lora"].map(job))).toEqual(["s1", "s6", "s2", "s3"]);
});

test("names that would cover each other are moved apart, and the others stay", () => {
  expect(spread([100, 300], 16)).toEqual([100, 300]);
  const moved = spread([100, 101, 102], 16).toSorted((one, other) => one - other);
  expect((moved[1] ?? 0) - (moved[0] ?? 0)).toBeGreaterThanOrEqual(16);
  expect((moved[2] ?? 0) - (moved[1] ?? 0)).toBeGreaterThanOrEqual(16);
});

test("jobs of one name are told apart by their method, or by the end of their id", () => {
  const named = (id: string, method: string): Job => ({ ...job(method), id, name: "seed=1" });
  const jobs = [named("job_aaaa", "full"), named("job_bbbb", "lora"), named("job_cccc", "lora")];
  expect(namesOf(jobs)).toEqual(["full · seed=1", "bbbb · lora · seed=1", "cccc · lora · seed=1"]);
  expect(namesOf([{ ...job("full"), id: "job_dddd", name: "alone" }])).toEqual(["alone"]);
});

test("scores are read off as far as all jobs have come, between two measures", () => {
  const of = (steps: number[], values: number[]) => {
    const name = "validation_loss";
    const curve = { name, description: "", num_points: steps.length, steps, values };
    return { job: {}, metrics: { curves: [curve], markers: [] }, estimate: null } as unknown as Compared;
  };
  const [score] = equalScores([of([100, 200], [4, 3]), of([50, 150, 250], [5, 4, 2])]);
  expect(score).toEqual({ axis: "step", at: 200, losses: [3, 3], goesOn: [false, true] });
});

test("a gap is told where both curves are", () => {
  const base = { xs: [0, 10], values: [4, 2] };
  expect(gapTo(base, { xs: [5, 10, 15], values: [3.5, 2, 1] })).toEqual([0.5, 0, null]);
});
