/** One job, live. */

import type { ComponentChildren } from "preact";

import { curves, events, getJob } from "../api/job";
import { ApiError } from "../api/client";
import type { Job, JobEvent, Metrics } from "../api/types";
import { useCommands } from "../commands";
import { useKeys } from "../keys";
import { useLive } from "../live";
import { isFinal } from "../model/job";
import { Failed, Loading } from "../parts/notice";
import { href, route, setQuery } from "../router";
import { JobAttempts } from "./job-attempts";
import { JobCharts } from "./job-charts";
import { JobEstimate } from "./job-estimate";
import { JobEvents } from "./job-events";
import { JobFiles } from "./job-files";
import { JobGenerate } from "./job-generate";
import { JobHead } from "./job-head";
import { JobLog } from "./job-log";
import { JobRanks } from "./job-ranks";
import { JobSpec } from "./job-spec";

export interface Known {
  job: Job;
  metrics: Metrics;
  events: JobEvent[];
}

interface Tab {
  name: string;
  title: string;
  show: (known: Known) => ComponentChildren;
}

const TABS: Tab[] = [
  { name: "charts", title: "Charts", show: (known) => <JobCharts {...known} /> },
  { name: "ranks", title: "Ranks", show: (known) => <JobRanks job={known.job} /> },
  { name: "events", title: "Events", show: (known) => <JobEvents events={known.events} /> },
  { name: "log", title: "Log", show: (known) => <JobLog job={known.job} /> },
  { name: "files", title: "Checkpoints and files", show: (known) => <JobFiles job={known.job} /> },
  { name: "generate", title: "Generate", show: (known) => <JobGenerate job={known.job} /> },
  { name: "spec", title: "Spec", show: (known) => <JobSpec job={known.job} /> },
  {
    name: "attempts",
    title: "Attempts",
    show: (known) => <JobAttempts events={known.events} />,
  },
  {
    name: "estimate",
    title: "Estimate and measured",
    show: (known) => <JobEstimate job={known.job} />,
  },
];

const ASK_MILLISECONDS = 1000;
const OVER_MILLISECONDS = 10_000; // a person may retry a job that is over

/** The job, and its curves and events as far as they changed. */
async function ask(id: string, signal: AbortSignal, before: Known | null): Promise<Known> {
  const job = await getJob(id, signal);
  const version = job.progress.version;
  if (before && before.job.progress.version === version) return { ...before, job };
  const [metrics, told] = await Promise.all([
    curves(id, before?.metrics ?? null, signal),
    events(id, before?.events ?? [], signal),
  ]);
  return { job, metrics, events: told };
}

export function JobView({ id }: { id: string }) {
  const over = useLive(
    (signal, before: Known | null) => ask(id, signal, before),
    {
      key: id,
      every: ASK_MILLISECONDS,
      after: (known) => (isFinal(known.job.status) ? OVER_MILLISECONDS : ASK_MILLISECONDS),
      on: (change) => change.job.id === id,
    },
  );
  const known = over.value;
  const name = route.value.query.get("tab") ?? "charts";
  const tab = TABS.find((one) => one.name === name) ?? TABS[0];
  useKeys(
    Object.fromEntries(
      TABS.map((one, index) => [String(index + 1), () => setQuery({ tab: one.name })]),
    ),
  );
  useCommands(
    TABS.map((one, index) => ({
      title: one.title,
      hint: "part of this job",
      key: String(index + 1),
      run: () => setQuery({ tab: one.name }),
    })),
  );
  document.title = `${known?.job.name || id} · relora`;
  if (!known && over.error) {
    const isMissing = over.error instanceof ApiError && over.error.status === 404;
    return (
      <div class="page">
        <Failed what="The job" error={over.error} retry={over.refresh} />
        {isMissing && (
          <a class="link" href={href("jobs")} data-view="jobs">
            All jobs
          </a>
        )}
      </div>
    );
  }
  if (!known) {
    return (
      <div class="page">
        <Loading widths={[280, 420, 900]} />
      </div>
    );
  }
  return (
    <div class="page job">
      <JobHead job={known.job} refresh={over.refresh} />
      <nav class="tabs" aria-label="Parts of the job">
        {TABS.map((one) => (
          <a
            key={one.name}
            href={href(`jobs/${id}?tab=${one.name}`)}
            data-view="job"
            aria-current={one === tab ? "page" : undefined}
          >
            {one.title}
          </a>
        ))}
      </nav>
      {tab?.show(known)}
    </div>
  );
}
