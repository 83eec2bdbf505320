/** The jobs on a phone: one card each. */

import type { Job } from "../api/types";
import { useNow } from "../live";
import { age, duration, perplexity } from "../model/format";
import { doneShare, isFinal, methodOf, modelOf, whyNoNumbers } from "../model/job";
import { ProgressBar } from "../parts/progress-bar";
import { Sparkline } from "../parts/sparkline";
import { Status } from "../parts/status";
import { href } from "../router";
import { useLoss } from "./job-table";

export function JobCards({ jobs }: { jobs: Job[] }) {
  const now = useNow();
  return (
    <ul class="cards">
      {jobs.map((job) => (
        <li key={job.id}>
          <a href={href(`jobs/${job.id}`)} data-view="job">
            <Card job={job} now={now} />
          </a>
        </li>
      ))}
    </ul>
  );
}

function Card({ job, now }: { job: Job; now: number }) {
  const why = whyNoNumbers(job);
  const left = isFinal(job.status) ? null : job.progress.eta_seconds;
  const loss = useLoss(job);
  return (
    <>
      <span class="first">
        <span class="name cut">{job.name || job.id}</span>
        <span class="number">{perplexity(job.progress.validation_perplexity)}</span>
      </span>
      <span class="second">
        <Status status={job.status} done={doneShare(job)} />
        <span class={why?.bad ? "cut bad" : "cut"}>
          {why?.text ?? `${methodOf(job)} · ${modelOf(job)}`}
        </span>
        <span class="space" />
        <span>{left ? `${duration(left)} left` : `${age(job.created_at, now)} ago`}</span>
      </span>
      {!why && (
        <span class={`third loss ${job.status}`}>
          <ProgressBar job={job} />
          <Sparkline curve={loss} totalSteps={job.progress.total_steps} />
        </span>
      )}
    </>
  );
}
