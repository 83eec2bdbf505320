/** Requests about jobs. */

import { get, post, type Query } from "./client";
import type { Curve, Job, Metrics, Page } from "./types";
import { described } from "./specs";

const LARGEST_PAGE = 200;

export interface Listed {
  jobs: Job[];
  /** Whether there are more. */
  more: boolean;
}

/** The newest jobs that match, up to `wanted`. */
export async function listJobs(
  filter: Query,
  wanted: number,
  signal: AbortSignal,
): Promise<Listed> {
  const jobs: Job[] = [];
  let cursor: string | null = null;
  do {
    const limit = Math.min(LARGEST_PAGE, wanted - jobs.length);
    const page: Page<Job> = await get("v1/jobs", { ...filter, limit, cursor }, signal);
    jobs.push(...page.items);
    cursor = page.next;
  } while (cursor && jobs.length < wanted);
  return { jobs, more: cursor !== null };
}

const sparks = new Map<string, { version: number; curve: Promise<Curve | null> }>();

/** The loss of a job with few points. It is asked for again only if the job has moved on. */
export function lossOf(job: Job): Promise<Curve | null> {
  const version = job.progress.version;
  const known = sparks.get(job.id);
  if (known?.version === version) return known.curve;
  const curve = get<Metrics>(`v1/jobs/${job.id}/metrics`, { names: "loss", max_points: 50 })
    .then((metrics) => metrics.curves[0] ?? null)
    .catch(() => {
      sparks.delete(job.id);
      return null;
    });
  sparks.set(job.id, { version, curve });
  return curve;
}

/** Submit the first example of the API's own description, which runs on any server. */
export async function submitDemo(): Promise<Job> {
  return post<Job>("v1/jobs", (await described()).first);
}
