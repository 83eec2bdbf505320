/** The table of jobs, one row each, its numbers live. */

import { useEffect, useState } from "preact/hooks";

import { lossOf } from "../api/jobs";
import type { Curve, Job } from "../api/types";
import { useNow } from "../live";
import {
  age,
  duration,
  fixed,
  fullDate,
  perplexity,
  share,
  short,
  UNKNOWN,
} from "../model/format";
import { asked, doneShare, gpusOf, isFinal, methodOf, modelOf, whyNoNumbers } from "../model/job";
import { ProgressBar } from "../parts/progress-bar";
import { Sparkline } from "../parts/sparkline";
import { Status } from "../parts/status";
import { href } from "../router";

interface JobTableProps {
  jobs: Job[];
  /** The row that the keys are on. */
  chosen: string | undefined;
  /** The jobs to compare. */
  selected: ReadonlySet<string>;
  onSelect: (id: string) => void;
}

export function JobTable({ jobs, chosen, selected, onSelect }: JobTableProps) {
  const now = useNow();
  return (
    <table class="jobs">
      <thead>
        <tr>
          <th class="w-select">
            <span class="hidden">Selected</span>
          </th>
          <th class="w-status">Status</th>
          <th>Name</th>
          <th class="w-method">Method</th>
          <th class="w-model">Model</th>
          <th class="w-gpus">GPUs</th>
          <th class="w-progress">Progress</th>
          <th class="w-loss number">
            Loss <span class="unit">nats</span>
          </th>
          <th class="w-score number">Perplexity</th>
          <th class="w-pace number">Tokens/s</th>
          <th class="w-eta number">Time left</th>
          <th class="w-worker">Worker</th>
          <th class="w-age number">Age</th>
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <Row
            key={job.id}
            job={job}
            now={now}
            chosen={job.id === chosen}
            selected={selected.has(job.id)}
            onSelect={() => onSelect(job.id)}
          />
        ))}
      </tbody>
    </table>
  );
}

interface RowProps {
  job: Job;
  now: number;
  chosen: boolean;
  selected: boolean;
  onSelect: () => void;
}

function Row({ job, now, chosen, selected, onSelect }: RowProps) {
  const why = whyNoNumbers(job);
  return (
    <tr class={`${chosen ? "chosen" : ""} ${selected ? "selected" : ""}`}>
      <td>
        <input
          type="checkbox"
          checked={selected}
          onChange={onSelect}
          aria-label={`Select ${job.name || job.id}`}
        />
      </td>
      <td>
        <Status status={job.status} done={doneShare(job)} />
      </td>
      <td class="cut">
        <a class="name" href={href(`jobs/${job.id}`)} data-view="job">
          {job.name || job.id}
        </a>
        <span class="tail mono">{job.id.slice(-4)}</span>
      </td>
      <td class="mono">{methodOf(job)}</td>
      <td class="mono cut">{modelOf(job)}</td>
      <td class="mono cut">{gpusOf(job)}</td>
      {why ? (
        <td colSpan={5} class={why.bad ? "note bad" : "note"}>
          {why.text}
        </td>
      ) : (
        <Numbers job={job} />
      )}
      <td class="mono cut">{job.worker ?? UNKNOWN}</td>
      <td class="number" title={fullDate(job.created_at)}>
        {age(job.created_at, now)}
      </td>
    </tr>
  );
}

function Numbers({ job }: { job: Job }) {
  const { progress } = job;
  const loss = useLoss(job);
  const note = job.error?.message ?? asked(job);
  return (
    <>
      <td>
        <span class="done">
          <ProgressBar job={job} />
          <span class="number">{share(doneShare(job))}</span>
        </span>
      </td>
      <td class="number">
        <span class={`loss ${job.status}`}>
          <Sparkline curve={loss} totalSteps={progress.total_steps} />
          {fixed(progress.loss, 3)}
        </span>
      </td>
      <td class="number">{perplexity(progress.validation_perplexity)}</td>
      {note ? (
        <td colSpan={2} class={job.error ? "note cut bad" : "note cut"} title={note}>
          {note}
        </td>
      ) : (
        <>
          <td class="number">{short(progress.tokens_per_second)}</td>
          <td class="number">
            {isFinal(job.status) ? UNKNOWN : duration(progress.eta_seconds)}
          </td>
        </>
      )}
    </>
  );
}

/** The loss of a job, asked for again when the job has moved on. */
export function useLoss(job: Job): Curve | null {
  const [curve, setCurve] = useState<Curve | null>(null);
  useEffect(() => {
    let current = true;
    void lossOf(job).then((loaded) => current && setCurve(loaded));
    return () => {
      current = false;
    };
  }, [job.id, job.progress.version]);
  return curve;
}
