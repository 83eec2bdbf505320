import { expect, test } from "vitest";

import type { Job } from "../src/api/types";
import { activeFirst, asked, matches, modelOf, whyNoNumbers } from "../src/model/job";
import { routeOf } from "../src/model/route";
import { sparkPath } from "../src/parts/sparkline";

function job(values: object): Job {
  const progress = { step: 0, total_steps: 100, queue_position: null, preparing: null };
  return {
    id: "job_1",
    name: "first",
    labels: {},
    status: "running",
    spec: { method: { name: "relora" }, model: { preset: "llama_9m" } },
    created_at: "2026-01-01T00:00:00Z",
    ...values,
    progress: { ...progress, ...(values as { progress?: object }).progress },
  } as unknown as Job;
}

test("jobs that run come first, then those that wait, then the newest", () => {
  const jobs = [
    job({ id: "old", status: "succeeded", created_at: "2026-01-01T00:00:00Z" }),
    job({ id: "queued", status: "queued", created_at: "2026-01-01T00:00:00Z" }),
    job({ id: "new", status: "failed", created_at: "2026-01-03T00:00:00Z" }),
    job({ id: "running", created_at: "2026-01-01T00:00:00Z" }),
  ];
  expect(activeFirst(jobs).map(({ id }) => id)).toEqual(["running", "queued", "new", "old"]);
});

test("a search finds all its words in name, id, method, model and labels", () => {
  const one = job({ labels: { team: "nlp" } });
  expect(matches(one, "FIRST llama")).toBe(true);
  expect(matches(one, "team=nlp relora")).toBe(true);
  expect(matches(one, "first galore")).toBe(false);
  expect(matches(one, "")).toBe(true);
});

test("a queued job says its place, or why it cannot run", () => {
  const queued = { status: "queued", progress: { queue_position: 2 } };
  expect(whyNoNumbers(job(queued))).toEqual({ text: "Second in the queue", bad: false });
  const stuck = { status: "queued", progress: { unschedulable_reason: "No worker has 16 GPUs" } };
  expect(whyNoNumbers(job(stuck))).toEqual({ text: "No worker has 16 GPUs", bad: true });
});

test("a job that trains has numbers, also after it was paused", () => {
  expect(whyNoNumbers(job({ progress: { step: 1 } }))).toBeNull();
  expect(whyNoNumbers(job({ status: "paused" }))).toBeNull();
});

test("what was asked of a worker is told until it is done", () => {
  expect(asked(job({ requested_action: "pause" }))).toContain("Pausing");
  expect(asked(job({ requested_action: null }))).toBeNull();
});

test("a model without a preset has the name of its weights or its family", () => {
  expect(modelOf(job({ spec: { model: { pretrained: "gpt2" } } }))).toBe("gpt2");
  expect(modelOf(job({ spec: { model: { config: { model_type: "llama" } } } }))).toBe("llama");
});

test("an address names a view, its subject and its state", () => {
  const { view, id, query } = routeOf("jobs/job_1", "?tab=logs");
  expect([view, id, query.get("tab")]).toEqual(["jobs", "job_1", "logs"]);
  expect(routeOf("", "").view).toBe("jobs");
});

test("a sparkline passes over values that were not finite and ends where the run is", () => {
  const path = sparkPath([10, 20, 30, 50], [9, null, 3, 2], 100) ?? "";
  expect(path).toMatch(/^M24\.0 1\.0L/); // the first report, far above the rest, is cut off
  expect(path).toMatch(/L40\.0 19\.0$/);
  expect(sparkPath([10], [4], 100)).toBeNull();
});
