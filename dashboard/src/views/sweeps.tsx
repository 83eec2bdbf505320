/** Sweeps, and one sweep: its grid, its results and its curves. */

import { get } from "../api/client";
import type { components } from "../api/schema";
import type { Page } from "../api/types";
import { type Live, useLive, useNow } from "../live";
import { age, count, fixed, fullDate, perplexity, share, short, words } from "../model/format";
import { bestOf, fieldsOf, type Sweep, textOf } from "../model/sweep";
import { Failed, Loading } from "../parts/notice";
import { Status } from "../parts/status";
import { href } from "../router";
import { ComparedJobs } from "./compared-jobs";

type Summary = components["schemas"]["SweepSummary"];

const ASK_MILLISECONDS = 5000;
const DRAWN = 12; // lines that a person can tell apart

/** The sweeps of the project; nothing where there are none. */
export function SweepList() {
  const now = useNow();
  const live = useLive((signal) => get<Page<Summary>>("v1/sweeps", { limit: 50 }, signal), {
    key: "sweeps",
    every: ASK_MILLISECONDS,
  });
  if (!live.value?.items.length) return null;
  return (
    <>
      <h2 class="section">Sweeps</h2>
      <table>
        <thead>
          <tr>
            <th>Sweep</th>
            <th>Jobs</th>
            <th class="w-age number">Age</th>
          </tr>
        </thead>
        <tbody>
          {live.value.items.map((sweep) => (
            <tr key={sweep.id}>
              <td class="cut">
                <a class="name" href={href(`sweeps/${sweep.id}`)} data-view="sweeps">
                  {sweep.name || sweep.id}
                </a>
              </td>
              <td class="note">
                {Object.entries(sweep.counts)
                  .map(([status, jobs]) => `${jobs} ${words(status).toLowerCase()}`)
                  .join(", ")}
              </td>
              <td class="number" title={fullDate(sweep.created_at)}>
                {age(sweep.created_at, now)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

export function SweepView({ id }: { id: string }) {
  const live: Live<Sweep> = useLive((signal) => get<Sweep>(`v1/sweeps/${id}`, {}, signal), {
    key: id,
    every: ASK_MILLISECONDS,
    on: ({ job }) => live.value?.jobs.some((one) => one.job_id === job.id) ?? false,
  });
  const sweep = live.value;
  document.title = `${sweep?.name || id} · relora`;
  if (!sweep) {
    return (
      <div class="page">
        {live.error ? (
          <Failed what="The sweep" error={live.error} retry={live.refresh} />
        ) : (
          <Loading widths={[320, 280, 300]} />
        )}
      </div>
    );
  }
  return (
    <div class="page">
      <div class="page-head">
        <h1 class="cut">{sweep.name || sweep.id}</h1>
        <span class="mono small">{sweep.id}</span>
      </div>
      <Combinations sweep={sweep} />
      {sweep.jobs.length > DRAWN && (
        <p class="note">The curves are of the first {DRAWN} jobs.</p>
      )}
      <ComparedJobs ids={sweep.jobs.slice(0, DRAWN).map(({ job_id }) => job_id)} />
    </div>
  );
}

function Combinations({ sweep }: { sweep: Sweep }) {
  const fields = fieldsOf(sweep);
  const best = bestOf(sweep.jobs);
  return (
    <table aria-label="Grid">
      <thead>
        <tr>
          {fields.map((field) => (
            <th key={field} class="mono">
              {field}
            </th>
          ))}
          <th>Job</th>
          <th class="w-status">Status</th>
          <th class="w-step number">Step</th>
          <th class="w-score number">Done</th>
          <th class="w-score number">
            Loss <span class="unit">nats</span>
          </th>
          <th class="w-eta number">Perplexity</th>
          <th class="w-pace number">Tokens/s</th>
        </tr>
      </thead>
      <tbody>
        {sweep.jobs.map((one) => (
          <tr key={one.job_id}>
            {fields.map((field) => (
              <td key={field} class="mono cut">
                {textOf(one.changes[field])}
              </td>
            ))}
            <td class="cut">
              <a class="name" href={href(`jobs/${one.job_id}`)} data-view="job">
                {one.name || one.job_id}
              </a>
            </td>
            <td>
              <Status status={one.status} />
            </td>
            <td class="number">{count(one.step)}</td>
            <td class="number">{share(one.step / Math.max(1, one.total_steps), 0)}</td>
            <td class="number">{fixed(one.loss, 3)}</td>
            <td class="number" title={one.error?.message}>
              {one.job_id === best ? (
                <b>{perplexity(one.validation_perplexity)} best</b>
              ) : (
                perplexity(one.validation_perplexity)
              )}
            </td>
            <td class="number">{short(one.tokens_per_second)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
