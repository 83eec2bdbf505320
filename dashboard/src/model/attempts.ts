/** The attempts at a job, and why each ended. */

import type { JobEvent } from "../api/types";

export interface Attempt {
  number: number;
  worker: string;
  claimed: string;
  started: string | null;
  resumedFrom: number | null;
  ended: string | null;
  /** How it ended, in words. */
  end: string;
}

export function attemptsIn(events: readonly JobEvent[]): Attempt[] {
  const attempts: Attempt[] = [];
  for (const event of events) {
    const current = attempts.at(-1);
    if (event.type === "job.claimed") {
      attempts.push({
        number: event.attempt ?? attempts.length + 1,
        worker: event.worker,
        claimed: event.time,
        started: null,
        resumedFrom: null,
        ended: null,
        end: "Running",
      });
    } else if (current && event.type === "job.started") {
      current.started = event.time;
      current.resumedFrom = event.resumed_from ?? null;
    } else if (current && current.ended === null) {
      const end = endOf(event);
      if (end) {
        current.ended = event.time;
        current.end = end;
      }
    }
  }
  return attempts;
}

function endOf(event: JobEvent): string | null {
  switch (event.type) {
    case "job.succeeded":
      return "Succeeded";
    case "job.cancelled":
      return "Cancelled";
    case "job.paused":
      return "Paused; its state is saved";
    case "job.failed":
      return `${event.error.code}: ${event.error.message}`;
    case "job.retrying":
      return `${event.reason.code}: ${event.reason.message}`;
    case "job.queued":
      return "Its worker had to leave";
    default:
      return null;
  }
}
