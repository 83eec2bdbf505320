/** Text from the models of a job. */

import { get, post } from "./client";
import type { components } from "./schema";
import type { Page } from "./types";

export type Generation = components["schemas"]["Generation"];
export type NewGeneration = Partial<Generation["request"]>;

const MOST = 20;
const WAIT_SECONDS = 5;

/** The newest texts of the job. */
export async function generated(jobId: string, signal: AbortSignal): Promise<Generation[]> {
  const path = `v1/jobs/${jobId}/generations`;
  return (await get<Page<Generation>>(path, { limit: MOST }, signal)).items;
}

export const startText = (jobId: string, asked: NewGeneration) =>
  post<Generation>(`v1/jobs/${jobId}/generate`, asked);

/** Tell each time that the text has grown, until it is over. */
export async function followText(
  generation: Generation,
  tell: (now: Generation) => void,
  signal: AbortSignal,
): Promise<void> {
  const path = `v1/jobs/${generation.job_id}/generations/${generation.id}`;
  let now = generation;
  while (now.finished_at === null) {
    now = await get<Generation>(path, { wait: WAIT_SECONDS, after: now.text.length }, signal);
    tell(now);
  }
}
