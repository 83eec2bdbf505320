/** What several jobs came to, and the fields in which their specs differ. */

import type { Job } from "../api/types";
import { colorsOf, type Compared, DASHES, flopsAt, namesOf } from "../model/compared";
import { differences } from "../model/differences";
import { count, duration, exponent, fixed, memory, perplexity, short } from "../model/format";
import { methodOf, tookSeconds } from "../model/job";
import { Status } from "../parts/status";
import { href } from "../router";

export function Results({ compared }: { compared: Compared[] }) {
  const colors = colorsOf(compared.map(({ job }) => job));
  const names = namesOf(compared.map(({ job }) => job));
  const scores = compared.map(({ job }) => job.progress.validation_perplexity ?? Infinity);
  const best = Math.min(...scores);
  return (
    <table>
      <thead>
        <tr>
          <th>Job</th>
          <th class="w-status">Status</th>
          <th class="w-method">Method</th>
          <th class="w-step number">Step</th>
          <th class="w-score number">Tokens</th>
          <th class="w-score number">FLOPs, est.</th>
          <th class="w-score number">
            Loss <span class="unit">nats</span>
          </th>
          <th class="w-eta number">Perplexity</th>
          <th class="w-pace number">Tokens/s</th>
          <th class="w-eta number">Took</th>
          <th class="w-size number">Peak memory</th>
        </tr>
      </thead>
      <tbody>
        {compared.map(({ job, estimate }, index) => (
          <tr key={job.id}>
            <td class="cut">
              <svg class={`series ${colors[index]}`} viewBox="0 0 24 8" aria-hidden="true">
                <path d="M0 4h24" stroke-dasharray={DASHES[colors[index] ?? ""]?.join(" ")} />
              </svg>
              <a class="name" href={href(`jobs/${job.id}`)} data-view="job">
                {names[index]}
              </a>
            </td>
            <td>
              <Status status={job.status} />
            </td>
            <td class="mono">{methodOf(job)}</td>
            <td class="number">{count(job.progress.step)}</td>
            <td class="number">{short(job.progress.tokens_seen)}</td>
            <td class="number">{exponent(estimate && flopsAt(estimate)(job.progress.step), 1)}</td>
            <td class="number">{fixed(job.progress.loss, 3)}</td>
            <td class="number">
              {scores[index] === best && best < Infinity && compared.length > 1 ? (
                <b>{perplexity(job.progress.validation_perplexity)} best</b>
              ) : (
                perplexity(job.progress.validation_perplexity)
              )}
            </td>
            <td class="number">{short(job.progress.tokens_per_second)}</td>
            <td class="number">{duration(tookSeconds(job))}</td>
            <td class="number">{memory(job.progress.peak_memory_bytes)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Differences({ jobs }: { jobs: Job[] }) {
  const found = differences(jobs.map((job) => job.spec));
  const names = namesOf(jobs);
  return (
    <>
      <h2 class="section">Fields that differ</h2>
      {found.length === 0 ? (
        <p class="note">None: the specs are the same.</p>
      ) : (
        <table class="dense">
          <thead>
            <tr>
              <th>Field</th>
              {jobs.map((job, index) => (
                <th key={job.id}>{names[index]}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {found.map(({ path, values }) => (
              <tr key={path}>
                <td class="mono cut">{path}</td>
                {values.map((value, index) => (
                  <td class="mono cut" key={jobs[index]?.id}>
                    {value}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
