import { expect, test } from "vitest";

import type { Estimated } from "../src/api/specs";
import type { Job } from "../src/api/types";
import { axesOfAll, colorsOf, flopsAt, namesOf, spread } from "../src/model/compared";

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
