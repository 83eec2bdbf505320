import { expect, test } from "vitest";

import { bestOf, fieldsOf, type Sweep, textOf } from "../src/model/sweep";

function job(id: string, score: number | null, changes = {}): Sweep["jobs"][number] {
  return { job_id: id, validation_perplexity: score, changes } as Sweep["jobs"][number];
}

test("the fields of a grid come as they were asked for, then those that jobs name in full", () => {
  const jobs = [job("a", 1, { "method.rank": 8, seed: 1 })];
  expect(fieldsOf({ grid: { seed: [1], rank: [8] }, jobs })).toEqual(["seed", "method.rank"]);
});

test("the best of several has the lowest score; one alone is not the best", () => {
  expect(bestOf([job("a", 20), job("b", 18), job("c", null)])).toBe("b");
  expect(bestOf([job("a", 20), job("c", null)])).toBeNull();
});

test("a value is written as in a spec", () => {
  expect(["relora", 8, [1, 2], undefined].map(textOf)).toEqual(["relora", "8", "[1,2]", "–"]);
});
