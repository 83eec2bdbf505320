/** What happened, the newest first; without the reports of steps, which the charts show. */

import type { JobEvent } from "../api/types";
import { clock, count, fullDate, UNKNOWN } from "../model/format";
import { sentence } from "../model/sentences";

const RESTART = new Set(["train.merge", "train.reinit", "train.optimizer_reset", "train.lr_restart"]);

export function JobEvents({ events }: { events: JobEvent[] }) {
  return (
    <table class="events dense">
      <thead>
        <tr>
          <th class="w-clock">Time</th>
          <th class="w-type">Event</th>
          <th class="w-step number">Step</th>
          <th>What happened</th>
        </tr>
      </thead>
      <tbody>
        {events.toReversed().map((event) => (
          <tr key={event.id} class={RESTART.has(event.type) ? "of-restart" : undefined}>
            <td class="mono" title={fullDate(event.time)}>
              {clock(event.time)}
            </td>
            <td class="mono cut">{event.type}</td>
            <td class="number">{"step" in event && event.step !== null ? count(event.step) : UNKNOWN}</td>
            <td class="cut" title={sentence(event)}>
              {sentence(event)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
