/** All jobs: what runs, what waits, what came of the others. */

import { useRef, useState } from "preact/hooks";

import { listJobs, submitDemo } from "../api/jobs";
import { get } from "../api/client";
import type { Job, JobStatus, Queue } from "../api/types";
import { useKeys } from "../keys";
import { useLive } from "../live";
import { isPhone } from "../media";
import { words } from "../model/format";
import { activeFirst, fresher, matches, METHODS, STATUSES } from "../model/job";
import { Icon } from "../parts/icon";
import { LearningRateChart } from "../parts/learning-rate";
import { Failed, Loading } from "../parts/notice";
import { href, navigate, route, setQuery } from "../router";
import { states } from "../stream/states";
import { JobCards } from "./job-cards";
import { JobTable } from "./job-table";

const PAGE = 50;
const ASK_MILLISECONDS = 2000;

export function Jobs() {
  document.title = "Jobs · relora";
  const { query } = route.value;
  const filter = {
    status: query.get("status"),
    method: query.get("method"),
    label: query.getAll("label"),
  };
  const search = query.get("search") ?? "";
  const [wanted, setWanted] = useState(PAGE);
  const statuses = useRef(new Map<string, JobStatus | null>());
  const live = useLive(
    async (signal) => {
      const [listed, queue] = await Promise.all([
        listJobs(filter, wanted, signal),
        get<Queue>("v1/queue", { limit: 1 }, signal),
      ]);
      return { ...listed, counts: queue.counts };
    },
    {
      key: JSON.stringify([filter, wanted]),
      every: ASK_MILLISECONDS,
      // Numbers come with the stream itself; other statuses change the list and its counts.
      on: ({ kind, job }) => {
        const before = statuses.current.get(job.id);
        const status = kind === "job.deleted" ? null : job.status;
        statuses.current.set(job.id, status);
        return before !== status;
      },
    },
  );
  // The counts and the place in the table survive a change of the filter.
  const counts = useRef<Record<string, number>>({});
  if (live.value) counts.current = live.value.counts;

  const filtered = Object.values(filter).some((value) => value?.length) || search !== "";
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const select = (id: string) => setSelected(toggled(selected, id));
  const compare = () => selected.size > 1 && navigate(`compare?jobs=${[...selected].join(",")}`);
  useKeys({ c: compare });
  const newest = live.value?.jobs.map((job) => fresher(job, states.value.get(job.id)));
  const shown = newest && activeFirst(newest).filter((job) => matches(job, search));
  if (live.value?.jobs.length === 0 && !filtered) return <Empty refresh={live.refresh} />;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Jobs</h1>
        <span class="space" />
        <button class="button" disabled={selected.size < 2} onClick={compare}>
          Compare {selected.size > 1 && selected.size} <kbd>C</kbd>
        </button>
        <a class="button primary" href={href("new")} data-view="new">
          <Icon name="plus" />
          New job
        </a>
      </div>
      <Filters counts={counts.current} />
      {live.error && !live.value && (
        <Failed what="The jobs" error={live.error} retry={live.refresh} />
      )}
      {!shown && !live.error && <Loading widths={[320, 280, 340, 300, 260, 330]} />}
      {shown && <Listing jobs={shown} selected={selected} onSelect={select} />}
      {live.value?.more && (
        <button class="button more" onClick={() => setWanted(wanted + PAGE)}>
          Show {PAGE} more
        </button>
      )}
    </div>
  );
}

interface ListingProps {
  jobs: Job[];
  selected: ReadonlySet<string>;
  onSelect: (id: string) => void;
}

function Listing({ jobs, selected, onSelect }: ListingProps) {
  const [chosen, setChosen] = useState(-1);
  const job = jobs[chosen];
  useKeys({
    j: () => setChosen(Math.min(jobs.length - 1, chosen + 1)),
    k: () => setChosen(Math.max(0, chosen - 1)),
    x: () => job && onSelect(job.id),
    Enter: () => job && navigate(`jobs/${job.id}`),
  });
  if (jobs.length === 0) {
    return (
      <div class="notice">
        <h2>No job matches</h2>
        <button class="button" onClick={clearFilters}>
          Show all jobs
        </button>
      </div>
    );
  }
  return isPhone.value ? <JobCards jobs={jobs} /> : <JobTable jobs={jobs} chosen={job?.id} selected={selected} onSelect={onSelect} />;
}

function toggled(selected: ReadonlySet<string>, id: string): ReadonlySet<string> {
  return selected.has(id)
    ? new Set([...selected].filter((one) => one !== id))
    : new Set([...selected, id]);
}

function clearFilters(): void {
  navigate("jobs", { replace: true });
}

function Filters({ counts }: { counts: Record<string, number> }) {
  const { query } = route.value;
  const status = query.get("status");
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
  const seen = STATUSES.filter((one) => counts[one] || one === status);
  return (
    <div class="filters">
      <div class="segments" role="group" aria-label="Status">
        <Segment label="All" count={all} pressed={!status} value={null} />
        {seen.map((one) => (
          <Segment
            key={one}
            label={words(one)}
            count={counts[one] ?? 0}
            pressed={status === one}
            value={one}
          />
        ))}
      </div>
      <label class="field">
        <Icon name="search" />
        <input
          ref={field}
          type="search"
          placeholder="Name, label or id"
          aria-label="Find jobs by name, label or id"
          value={query.get("search") ?? ""}
          onInput={(event) => setQuery({ search: event.currentTarget.value })}
        />
        <kbd>/</kbd>
      </label>
      <select
        aria-label="Method"
        value={query.get("method") ?? ""}
        onChange={(event) => setQuery({ method: event.currentTarget.value })}
      >
        <option value="">Any method</option>
        {METHODS.map((method) => (
          <option key={method}>{method}</option>
        ))}
      </select>
      {query.get("label") && (
        <span class="chip mono">
          {query.get("label")}
          <button aria-label="Remove this label" onClick={() => setQuery({ label: null })}>
            <Icon name="cross" />
          </button>
        </span>
      )}
    </div>
  );
}

interface SegmentProps {
  label: string;
  count: number;
  pressed: boolean;
  value: JobStatus | null;
}

function Segment({ label, count, pressed, value }: SegmentProps) {
  return (
    <button aria-pressed={pressed} onClick={() => setQuery({ status: value })}>
      {label} <span class="count">{count}</span>
    </button>
  );
}

function Empty({ refresh }: { refresh: () => void }) {
  const [refusal, setRefusal] = useState("");
  const [asking, setAsking] = useState(false);

  async function run(): Promise<void> {
    setAsking(true);
    try {
      navigate(`jobs/${(await submitDemo()).id}`);
    } catch (error) {
      setRefusal((error as Error).message);
      setAsking(false);
      refresh();
    }
  }

  return (
    <div class="page">
      <div class="page-head">
        <h1>Jobs</h1>
      </div>
      <div class="empty">
        <div>
          <h2>Nothing has been trained here yet</h2>
          <p>
            The demo job trains a Llama of 1.9 million parameters: a warm start, then low rank with
            restarts. It takes a few minutes on two CPU cores, and shows what this page is for.
          </p>
          <button class="button primary large" onClick={run} disabled={asking}>
            <Icon name="play" />
            Run the demo job
          </button>
          <p class="refusal" role="alert">
            {refusal}
          </p>
          <p class="small">Or from a terminal</p>
          <code class="block">relora jobs submit examples/demo.yaml --follow</code>
        </div>
        <LearningRateChart />
      </div>
    </div>
  );
}

