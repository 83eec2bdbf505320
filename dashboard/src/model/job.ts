/** What a row or a head says of a job. */

import type { Checkpoint, Job, JobState, JobStatus } from "../api/types";
import { ordinal } from "./format";
import { hasWords } from "./matching";

export const STATUSES: JobStatus[] = [
  "running",
  "starting",
  "queued",
  "paused",
  "succeeded",
  "failed",
  "cancelled",
];
export const METHODS = [
  "full",
  "control",
  "lowrank",
  "lora",
  "relora",
  "galore",
  "fira",
  "apollo",
] as const;

const FINAL: ReadonlySet<JobStatus> = new Set(["succeeded", "failed", "cancelled"]);
const ORDER: Record<JobStatus, number> = {
  running: 0,
  starting: 1,
  queued: 2,
  paused: 3,
  succeeded: 4,
  failed: 4,
  cancelled: 4,
};

export function isFinal(status: JobStatus): boolean {
  return FINAL.has(status);
}

export function isActive(status: JobStatus): boolean {
  return status === "running" || status === "starting" || status === "queued";
}

/** Active jobs first, in the order in which they get on; then the newest. */
export function activeFirst(jobs: readonly Job[]): Job[] {
  return jobs.toSorted(
    (one, other) =>
      ORDER[one.status] - ORDER[other.status] ||
      Date.parse(other.created_at) - Date.parse(one.created_at),
  );
}

export function methodOf(job: Job): string {
  const method = job.spec.method as { name?: string } | null | undefined;
  return method?.name ?? "";
}

/** The name of the model's preset, of the weights it starts from, or of its family. */
export function modelOf(job: Job): string {
  const model = (job.spec.model ?? {}) as Record<string, unknown>;
  const config = (model.config ?? {}) as Record<string, unknown>;
  return String(model.preset ?? model.pretrained ?? config.model_type ?? "");
}

/** The GPUs that the job asks for, with their class if it names one. */
export function gpusOf(job: Job): string {
  const { gpus = 1, gpu } = (job.spec.resources ?? {}) as { gpus?: number; gpu?: string | null };
  return gpu ? `${gpus} × ${gpu}` : String(gpus);
}

/** How much of the run is done, from 0 to 1. */
export function doneShare(job: Job): number {
  const { step, total_steps: total } = job.progress;
  return total ? Math.min(1, step / total) : 0;
}

/** What a person asked for and the worker has not done yet. */
export function asked(job: Job): string | null {
  switch (job.requested_action) {
    case "cancel":
      return "Cancelling, after this step's checkpoint";
    case "pause":
      return "Pausing, after this step's checkpoint";
    default:
      return null;
  }
}

/** Why a job has no numbers yet, or null if it has some. */
export function whyNoNumbers(job: Job): { text: string; bad: boolean } | null {
  const { progress } = job;
  if (job.status === "queued") {
    if (progress.unschedulable_reason) return { text: progress.unschedulable_reason, bad: true };
    const place = progress.queue_position;
    return { text: place ? `${ordinal(place)} in the queue` : "In the queue", bad: false };
  }
  if (job.status === "starting" || (job.status === "running" && progress.step === 0)) {
    return { text: progress.preparing ?? "Starting the trainer", bad: false };
  }
  return null;
}

/** Whether a job has all the words of a search in its name, id, labels, method or model. */
export function matches(job: Job, search: string): boolean {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}=${value}`);
  return hasWords(search, job.name ?? "", job.id, methodOf(job), modelOf(job), ...labels);
}

/** The job with the newest state that is known. Only a list tells the place in the queue anew. */
export function fresher(job: Job, state: JobState | undefined): Job {
  if (!state || state.progress.version <= job.progress.version) return job;
  return { ...job, ...state };
}

/** The perplexity that was measured at the step of the checkpoint itself, or null. */
export function perplexityAt({ step, metrics, metrics_step: at }: Checkpoint): number | null {
  const score = (metrics as Record<string, number>).perplexity;
  return at === step && score !== undefined ? score : null;
}

/** Seconds from the first start to the end, or null while the job goes on. */
export function tookSeconds(job: Job): number | null {
  if (!job.started_at || !job.finished_at) return null;
  return (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
}
