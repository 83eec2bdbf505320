/** Requests about jobs. */

import { get, post, type Query } from "./client";
import type { Curve, Job, Page } from "./types";
import { curvesOfJobs } from "./job";
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

interface Wanted {
  version: number;
  curve: Promise<Curve | null>;
}

const sparks = new Map<string, Wanted>();
let waiting = new Map<string, (curve: Curve | null) => void>();
const SPARK_POINTS = 50;
const LARGEST_QUESTION = 100;

/** The loss of a job with few points. It is asked for again only if the job has moved on.
 *
 * All jobs that are asked for at the same moment are asked for in one request.
 */
export function lossOf(job: Job): Promise<Curve | null> {
  const version = job.progress.version;
  const known = sparks.get(job.id);
  if (known?.version === version) return known.curve;
  if (waiting.size === 0) queueMicrotask(() => void askForLosses());
  const curve = new Promise<Curve | null>((resolve) => waiting.set(job.id, resolve));
  sparks.set(job.id, { version, curve });
  return curve;
}

async function askForLosses(): Promise<void> {
  const asked = [...waiting];
  waiting = new Map();
  for (let start = 0; start < asked.length; start += LARGEST_QUESTION) {
    const some = asked.slice(start, start + LARGEST_QUESTION);
    try {
      const found = await curvesOfJobs(some.map(([id]) => id), ["loss"], SPARK_POINTS);
      for (const [id, resolve] of some) resolve(found.get(id)?.curves[0] ?? null);
    } catch {
      for (const [id, resolve] of some) {
        sparks.delete(id);
        resolve(null);
      }
    }
  }
}

/** Submit the first example of the API's own description, which runs on any server. */
export async function submitDemo(): Promise<Job> {
  return post<Job>("v1/jobs", (await described()).first);
}
