/** Requests about one job, and its events and curves as they grow. */

import { get, post, send } from "./client";
import type { Artifact, Checkpoint, Job, JobEvent, JobMetrics, Metrics, Page } from "./types";
import { isWhole, joined, lastStep, turns, type Range } from "../model/curves";

/** Of a curve; a longer one comes as peaks and means. As many as a wide chart has pixels. */
export const MOST_POINTS = 2000;

export const getJob = (id: string, signal: AbortSignal) => get<Job>(`v1/jobs/${id}`, {}, signal);

/** The curves of a job: all, or those since what is known. */
export async function curves(
  id: string,
  known: Metrics | null,
  signal: AbortSignal,
): Promise<Metrics> {
  const all = () => get<Metrics>(`v1/jobs/${id}/metrics`, { max_points: MOST_POINTS }, signal);
  if (!known || !known.curves.every(isWhole)) return all();
  const news = await get<Metrics>(
    `v1/jobs/${id}/metrics`,
    { max_points: MOST_POINTS, from_step: lastStep(known) + 1 },
    signal,
  );
  const both = joined(known, news);
  const isLong = both.curves.some((curve) => curve.steps.length > MOST_POINTS);
  return isLong || turns(both) !== turns(known) ? all() : both;
}

/** The points of some curves in a range of steps, as many as a chart can show. */
export function curvesIn(
  id: string,
  names: string[],
  [first, last]: Range,
  signal: AbortSignal,
): Promise<Metrics> {
  const steps = { from_step: Math.max(0, Math.floor(first)), to_step: Math.ceil(last) };
  const query = { names: names.join(","), max_points: MOST_POINTS, ...steps };
  return get<Metrics>(`v1/jobs/${id}/metrics`, query, signal);
}

/** Curves of several jobs, each as many points as a chart can show. */
export async function curvesOfJobs(
  ids: string[],
  names: string[],
  points: number,
  signal?: AbortSignal,
): Promise<Map<string, Metrics>> {
  const query = { job: ids, names: names.join(","), max_points: points };
  const { items } = await get<{ items: JobMetrics[] }>("v1/metrics", query, signal);
  return new Map(items.map((one) => [one.job_id, one]));
}

// All but `train.step`, which the curves have.
const TOLD = [
  "job.action_requested",
  "job.cancelled",
  "job.claimed",
  "job.failed",
  "job.paused",
  "job.profile_requested",
  "job.published",
  "job.queued",
  "job.retrying",
  "job.started",
  "job.succeeded",
  "job.warning",
  "train.checkpoint",
  "train.checkpoint_deleted",
  "train.data",
  "train.eval",
  "train.eval_set",
  "train.export",
  "train.failed",
  "train.finished",
  "train.loss_spike",
  "train.lr_restart",
  "train.merge",
  "train.optimizer_reset",
  "train.phase",
  "train.profile",
  "train.reinit",
  "train.restart_decided",
  "train.restart_report",
  "train.rewind",
  "train.spectrum",
  "train.started",
  "train.stopped",
  "train.warm_start",
  "train.warning",
] as const satisfies readonly JobEvent["type"][];

/** The events of a job in their order: all, or `known` and those since. */
export async function events(
  id: string,
  known: readonly JobEvent[],
  signal: AbortSignal,
): Promise<JobEvent[]> {
  const found = [...known];
  let page: Page<JobEvent>;
  do {
    const after = found.at(-1)?.id ?? 0;
    page = await get(`v1/jobs/${id}/events`, { after, limit: 1000, type: [...TOLD] }, signal);
    found.push(...page.items);
  } while (page.next && page.items.length > 0);
  return found;
}

export async function allPages<T>(path: string, signal: AbortSignal): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<T> = await get<Page<T>>(path, { limit: 200, cursor }, signal);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor);
  return items;
}

export const artifacts = (id: string, signal: AbortSignal) =>
  allPages<Artifact>(`v1/jobs/${id}/artifacts`, signal);

export const checkpoints = (id: string, signal: AbortSignal) =>
  allPages<Checkpoint>(`v1/jobs/${id}/checkpoints`, signal);

export type Action = "cancel" | "pause" | "resume" | "retry" | "delete";

export async function act(id: string, action: Action, withFiles = false): Promise<void> {
  if (action === "delete") {
    await send(`v1/jobs/${id}`, { method: "DELETE", query: { artifacts: withFiles } });
  } else await post(`v1/jobs/${id}/${action}`);
}
