/** The newest states of jobs that the stream has told, for the numbers in lists. */

import { signal } from "@preact/signals";

import type { JobState } from "../api/types";
import { onChange } from "./changes";

/** Numbers in place change at most twice a second. */
const BETWEEN_CHANGES_MILLISECONDS = 500;

export const states = signal<ReadonlyMap<string, JobState>>(new Map());

const told = new Map<string, JobState>();
let timer = 0;

onChange((change) => {
  if (change.kind === "job.deleted") told.delete(change.job.id);
  else told.set(change.job.id, change.job);
  timer ||= window.setTimeout(() => {
    timer = 0;
    states.value = new Map(told);
  }, BETWEEN_CHANGES_MILLISECONDS);
});
