/** The attempts at a job, and why each ended. */

import type { JobEvent } from "../api/types";
import { useNow } from "../live";
import { attemptsIn } from "../model/attempts";
import { clock, count, duration, fullDate, UNKNOWN } from "../model/format";

export function JobAttempts({ events }: { events: JobEvent[] }) {
  const now = useNow();
  const attempts = attemptsIn(events);
  if (attempts.length === 0) {
    return (
      <div class="notice">
        <h2>No attempt yet</h2>
        <p>The first one begins when a worker claims the job.</p>
      </div>
    );
  }
  return (
    <table>
      <thead>
        <tr>
          <th class="w-score number">Attempt</th>
          <th class="w-worker">Worker</th>
          <th class="w-clock">Claimed</th>
          <th class="w-clock">Started</th>
          <th class="w-step number">From step</th>
          <th class="w-eta number">Took</th>
          <th>How it ended</th>
        </tr>
      </thead>
      <tbody>
        {attempts.toReversed().map((one) => (
          <tr key={one.number}>
            <td class="number">{one.number}</td>
            <td class="mono cut">{one.worker}</td>
            <td class="mono" title={fullDate(one.claimed)}>
              {clock(one.claimed)}
            </td>
            <td class="mono">{clock(one.started)}</td>
            <td class="number">{one.started ? count(one.resumedFrom ?? 0) : UNKNOWN}</td>
            <td class="number">
              {duration(((one.ended ? Date.parse(one.ended) : now) - Date.parse(one.claimed)) / 1000)}
            </td>
            <td class="cut" title={one.end}>
              {one.end}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
