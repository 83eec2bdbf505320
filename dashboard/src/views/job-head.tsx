/** The head of a job: its name, what it does now, and seven figures. */

import type { ComponentChildren } from "preact";

import type { Job } from "../api/types";
import { useNow } from "../live";
import {
  age,
  clock,
  count,
  duration,
  fixed,
  fullDate,
  perplexity,
  share,
  short,
  UNKNOWN,
  words,
} from "../model/format";
import { asked, doneShare, gpusOf, isFinal, methodOf, modelOf, whyNoNumbers } from "../model/job";
import { planOf } from "../model/plan";
import { Copy } from "../parts/copy";
import { ProgressBar } from "../parts/progress-bar";
import { Status } from "../parts/status";
import { href } from "../router";
import { JobActions } from "./job-actions";

export function JobHead({ job, refresh }: { job: Job; refresh: () => void }) {
  const why = whyNoNumbers(job);
  return (
    <header class="job-head">
      <div class="title">
        <h1 class="cut">{job.name || job.id}</h1>
        <span role="status">
          <Status status={job.status} done={doneShare(job)} />
        </span>
        <span class="space" />
        <span class="acts">
          <JobActions job={job} refresh={refresh} />
        </span>
      </div>
      <div class="origin">
        <span class="mono">{job.id}</span>
        <Copy text={() => job.id} label="Copy the id" />
        {Object.entries(job.labels).map(([key, value]) => (
          <a
            class="chip mono"
            key={key}
            href={href(`jobs?label=${encodeURIComponent(`${key}=${value}`)}`)}
            data-view="jobs"
          >
            {key}={value}
          </a>
        ))}
        <span class="small" title={fullDate(job.created_at)}>
          {methodOf(job)} on {modelOf(job)} · submitted {clock(job.created_at)} · priority{" "}
          {job.priority} · GPUs {gpusOf(job)}
        </span>
        {job.forked_from && (
          <a class="link small" href={href(`jobs/${job.forked_from}`)} data-view="job">
            forked from {job.forked_from.slice(-4)}
          </a>
        )}
      </div>
      <Told job={job} />
      {why && <p class={why.bad ? "told bad" : "told"}>{why.text}</p>}
      <Figures job={job} />
      <ProgressBar job={job} />
    </header>
  );
}

/** What went wrong, or what was asked for and is not done yet. */
function Told({ job }: { job: Job }) {
  const wish = asked(job);
  const wrong = job.error ? `${job.error.code}: ${job.error.message}` : job.spec_problem;
  return (
    <>
      {wish && <p class="told">{wish}</p>}
      {wrong && (
        <p class="told bad" role="alert">
          {wrong}
        </p>
      )}
    </>
  );
}

function Figures({ job }: { job: Job }) {
  const { progress } = job;
  const now = useNow();
  const plan = planOf(job);
  const next = plan.restarts.find((step) => step > progress.step);
  const left = isFinal(job.status) ? null : progress.eta_seconds;
  const took =
    job.started_at && (job.finished_at ? Date.parse(job.finished_at) : now) - Date.parse(job.started_at);
  return (
    <div class="figures">
      <Figure name="Phase" below={next ? `next restart at ${count(next)}` : `${count(progress.restarts)} restarts`}>
        <span class="word">{words(progress.phase)}</span>
      </Figure>
      <Figure
        name="Step"
        below={`${share(doneShare(job))}, ${short(progress.tokens_seen)} tokens`}
      >
        {count(progress.step)} <span class="unit">of {count(progress.total_steps)}</span>
      </Figure>
      <Figure name="Loss" below="at the last report">
        {fixed(progress.loss, 3)} <span class="unit">nats</span>
      </Figure>
      <Figure
        name="Perplexity"
        below={
          progress.validation_step === null || progress.validation_step === undefined
            ? "validation, not yet"
            : `validation at ${count(progress.validation_step)}`
        }
      >
        {perplexity(progress.validation_perplexity)}
      </Figure>
      <Figure name="Pace" below="at the last report">
        {short(progress.tokens_per_second)} <span class="unit">tokens/s</span>
      </Figure>
      <Figure
        name={isFinal(job.status) ? "Took" : "Time left"}
        below={
          left
            ? `ends about ${clock(new Date(now + left * 1000).toISOString()).slice(0, 5)}`
            : `submitted ${age(job.created_at, now)} ago`
        }
      >
        {isFinal(job.status) ? duration(took ? took / 1000 : null) : duration(left)}
      </Figure>
      <Figure name="Worker" below={`attempt ${job.attempt || UNKNOWN}`}>
        <span class="word cut">{job.worker ?? UNKNOWN}</span>
      </Figure>
    </div>
  );
}

interface FigureProps {
  name: string;
  below: string;
  children: ComponentChildren;
}

function Figure({ name, below, children }: FigureProps) {
  return (
    <div>
      <span class="small">{name}</span>
      <span class="figure">{children}</span>
      <span class="small cut">{below}</span>
    </div>
  );
}
