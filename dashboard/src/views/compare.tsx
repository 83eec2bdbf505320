/** Several jobs in one chart and one table, with the fields in which their specs differ. */

import { useState } from "preact/hooks";
import uPlot from "uplot";

import { curves, getJob } from "../api/job";
import type { Job, Metrics } from "../api/types";
import { Plot } from "../charts/plot";
import { useLive } from "../live";
import { type Axis, curveOf, isWhole, placeOn, seenRange, type Range } from "../model/curves";
import { differences } from "../model/differences";
import { count, duration, fixed, perplexity, short, words } from "../model/format";
import { methodOf } from "../model/job";
import { smoothed, usualWeight } from "../model/smoothing";
import { Failed, Loading } from "../parts/notice";
import { Status } from "../parts/status";
import { href, route, setQuery } from "../router";
import { theme } from "../theme";

interface Compared {
  job: Job;
  metrics: Metrics;
}

const ASK_MILLISECONDS = 2000;
const COMPARED: Axis[] = ["step", "tokens", "time"];
// A method keeps its colour; a second job of the same method gets the next that is free.
const COLORS: Record<string, string> = {
  full: "s6",
  relora: "s1",
  lora: "s2",
  galore: "s3",
  lowrank: "s4",
  control: "s5",
};
const DASHES: Record<string, number[]> = {
  s2: [6, 3],
  s3: [2, 2],
  s4: [9, 3],
  s5: [6, 2, 2, 2],
};

export function Compare() {
  document.title = "Compare · relora";
  const ids = (route.value.query.get("jobs") ?? "").split(",").filter(Boolean);
  const live = useLive(
    (signal, before: Compared[] | null) =>
      Promise.all(ids.map((id) => loaded(id, signal, before))),
    ASK_MILLISECONDS,
    ids.join(),
  );
  return (
    <div class="page">
      <div class="page-head">
        <h1>Compare</h1>
      </div>
      {ids.length === 0 ? (
        <div class="notice">
          <h2>No job is chosen</h2>
          <p>
            Choose some among the{" "}
            <a class="link" href={href("jobs")} data-view="jobs">
              jobs
            </a>
            , then Compare.
          </p>
        </div>
      ) : live.value ? (
        <Comparison compared={live.value} />
      ) : live.error ? (
        <Failed what="The jobs" error={live.error} retry={live.refresh} />
      ) : (
        <Loading widths={[320, 280, 300]} />
      )}
    </div>
  );
}

async function loaded(
  id: string,
  signal: AbortSignal,
  before: Compared[] | null,
): Promise<Compared> {
  const known = before?.find(({ job }) => job.id === id);
  const job = await getJob(id, signal);
  if (known && known.job.progress.version === job.progress.version) return { ...known, job };
  return { job, metrics: await curves(id, known?.metrics ?? null, signal) };
}

function colorsOf(jobs: Job[]): string[] {
  const taken = new Set<string>();
  return jobs.map((job) => {
    const own = COLORS[methodOf(job)] ?? "s1";
    const free = [own, "s1", "s2", "s3", "s4", "s5", "s6"].find((color) => !taken.has(color));
    taken.add(free ?? own);
    return free ?? "ctl";
  });
}

function Comparison({ compared }: { compared: Compared[] }) {
  const axis = (route.value.query.get("axis") ?? "step") as Axis;
  const [range, setRange] = useState<Range | null>(null);
  const colors = colorsOf(compared.map(({ job }) => job));
  const tables = compared.map(({ metrics }) => lossOn(axis, metrics));
  const [xs = [], ...lines] = tables.some(([steps]) => steps.length)
    ? (uPlot.join(tables) as [number[], ...(number | null)[][]])
    : [[]];
  const whole: Range = [0, xs.at(-1) ?? 1];
  const seen = range ?? whole;
  const settled: Range = range ?? [xs[Math.ceil(xs.length * 0.07)] ?? 0, whole[1]];
  const ranges = lines.map((values) => seenRange(xs, values, settled)).filter((one) => one !== null);
  const formatX = axis === "step" ? count : axis === "tokens" ? short : duration;
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Axis">
          {COMPARED.map((one) => (
            <button
              key={one}
              aria-pressed={one === axis}
              onClick={() => {
                setRange(null);
                setQuery({ axis: one === "step" ? null : one });
              }}
            >
              {words(one)}
            </button>
          ))}
        </div>
        <span class="small">Training loss, smoothed, in nats</span>
        <span class="space" />
        <button class="button" disabled={!range} onClick={() => setRange(null)}>
          Whole run
        </button>
      </div>
      {xs.length > 0 && (
        <div class="compared" key={`${theme.value} ${compared.length}`}>
          <Plot
            xs={xs}
            lines={lines.map((values, index) => ({
              color: colors[index] ?? "ctl",
              values,
              ...(DASHES[colors[index] ?? ""] && { dash: DASHES[colors[index] ?? ""] as number[] }),
            }))}
            name={`Training loss of ${compared.length} jobs by ${axis}`}
            height={340}
            marks={[]}
            bands={[]}
            range={seen}
            yRange={
              ranges.length
                ? [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))]
                : [0, 1]
            }
            formatY={(value) => fixed(value, 2)}
            formatX={formatX}
            onCursor={() => {}}
            onRange={setRange}
          />
        </div>
      )}
      <Results compared={compared} colors={colors} />
      <Differences jobs={compared.map(({ job }) => job)} />
    </>
  );
}

/** The loss of a job on the axis. A curve that came thinned is drawn as it is. */
function lossOn(axis: Axis, metrics: Metrics): [number[], (number | null)[]] {
  const loss = curveOf(metrics, "loss");
  if (!loss) return [[], []];
  const place = placeOn(axis, metrics);
  const values = isWhole(loss) ? smoothed(loss.values, usualWeight(loss.num_points)) : loss.values;
  return [loss.steps.map(place), values];
}

function Results({ compared, colors }: { compared: Compared[]; colors: string[] }) {
  const scores = compared.map(({ job }) => job.progress.validation_perplexity ?? Number.POSITIVE_INFINITY);
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
          <th class="w-score number">
            Loss <span class="unit">nats</span>
          </th>
          <th class="w-eta number">Perplexity</th>
          <th class="w-pace number">Tokens/s</th>
        </tr>
      </thead>
      <tbody>
        {compared.map(({ job }, index) => (
          <tr key={job.id}>
            <td class="cut">
              <svg class={`series ${colors[index]}`} viewBox="0 0 24 8" aria-hidden="true">
                <path d="M0 4h24" stroke-dasharray={DASHES[colors[index] ?? ""]?.join(" ")} />
              </svg>
              <a class="name" href={href(`jobs/${job.id}`)} data-view="job">
                {job.name || job.id}
              </a>
            </td>
            <td>
              <Status status={job.status} />
            </td>
            <td class="mono">{methodOf(job)}</td>
            <td class="number">{count(job.progress.step)}</td>
            <td class="number">{short(job.progress.tokens_seen)}</td>
            <td class="number">{fixed(job.progress.loss, 3)}</td>
            <td class="number">
              {scores[index] === best && compared.length > 1 ? (
                <b>{perplexity(job.progress.validation_perplexity)} best</b>
              ) : (
                perplexity(job.progress.validation_perplexity)
              )}
            </td>
            <td class="number">{short(job.progress.tokens_per_second)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Differences({ jobs }: { jobs: Job[] }) {
  const found = differences(jobs.map((job) => job.spec));
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
              {jobs.map((job) => (
                <th key={job.id}>{job.name || job.id}</th>
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
