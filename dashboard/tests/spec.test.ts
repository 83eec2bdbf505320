import { expect, test } from "vitest";

import type { JobEvent } from "../src/api/types";
import { attemptsIn } from "../src/model/attempts";
import { asCurl, asPython, toYaml, written } from "../src/model/yaml";

test("a spec is written as YAML that reads back as the same", () => {
  const spec = {
    name: "my job",
    model: { preset: "llama_9m" },
    optimizer: { learning_rate: 1e-3, betas: [0.9, 0.95], eps: 1e-8 },
    labels: { on: "yes", version: "1" },
    trackers: [{ name: "wandb", project: "p" }],
  };
  expect(toYaml(spec)).toBe(
    [
      'name: "my job"',
      "model:",
      "  preset: llama_9m",
      "optimizer:",
      "  learning_rate: 0.001",
      "  betas:",
      "    - 0.9",
      "    - 0.95",
      "  eps: 1.0e-8",
      "labels:",
      '  "on": "yes"',
      '  version: "1"',
      "trackers:",
      "  - name: wandb",
      "    project: p",
      "",
    ].join("\n"),
  );
});

test("what is null or empty is left out, and false and 0 are not", () => {
  const spec = { recipe: null, labels: {}, seed: 0, compile: false, output: { uri: null } };
  expect(written(spec)).toEqual({ seed: 0, compile: false });
});

test("a command quotes what a shell would read", () => {
  expect(asCurl({ name: "it's" }, "http://h/")).toContain("it'\\''s");
  expect(asPython({ name: "a" }, "http://h/")).toContain('Client("http://h")');
});

function event(values: object): JobEvent {
  return { id: 1, attempt: 1, time: "2026-01-01T00:00:00Z", ...values } as JobEvent;
}

test("an attempt ends by the first event that says how", () => {
  const reason = { code: "worker_lost", message: "Worker w1 gave no sign of life." };
  const attempts = attemptsIn([
    event({ type: "job.queued" }),
    event({ type: "job.claimed", worker: "w1" }),
    event({ type: "job.started", worker: "w1", resumed_from: null }),
    event({ type: "job.retrying", reason, next_attempt: 2 }),
    event({ type: "job.claimed", worker: "w2", attempt: 2 }),
    event({ type: "job.started", worker: "w2", attempt: 2, resumed_from: 40 }),
  ]);
  expect(attempts.map(({ worker, end, resumedFrom }) => [worker, end, resumedFrom])).toEqual([
    ["w1", "worker_lost: Worker w1 gave no sign of life.", null],
    ["w2", "Running", 40],
  ]);
});
