/** The charts of a job, and how they are shown. All of it is in the address. */

import { useMemo } from "preact/hooks";

import { curvesIn } from "../api/job";
import { download } from "../api/client";
import type { Curve } from "../api/types";
import { Stack, type View } from "../charts/stack";
import { useCommands } from "../commands";
import { useKeys } from "../keys";
import { useLive } from "../live";
import { type Axis, axesOf, curveOf, drawnOn, isWhole, placeOn, type Range } from "../model/curves";
import { count, words } from "../model/format";
import { restartsIn } from "../model/restarts";
import { reportsBefore, usualWeight } from "../model/smoothing";
import { Icon } from "../parts/icon";
import { route, setQuery } from "../router";
import type { Known } from "./job";

function viewOf(query: URLSearchParams, axes: Axis[], reports: number): View {
  const axis = query.get("axis") as Axis;
  const [first, last] = (query.get("range") ?? "").split("-").map(Number);
  const isRange = first !== undefined && last !== undefined && first < last;
  return {
    axis: axes.includes(axis) ? axis : "step",
    smoothing: query.has("smoothing")
      ? Math.min(0.99, Math.max(0, Number(query.get("smoothing")) || 0))
      : usualWeight(reports),
    log: query.has("log"),
    plan: !query.has("noplan"),
    range: isRange ? [first, last] : null,
  };
}

function setRange(range: Range | null): void {
  setQuery({ range: range && range.map(Math.round).join("-") });
}

export function JobCharts({ job, metrics, events }: Known) {
  const loss = curveOf(metrics, "loss");
  const axes = axesOf(metrics);
  const view = viewOf(route.value.query, axes, loss?.num_points ?? 0);
  const restarts = useMemo(() => restartsIn(events, loss), [events, loss]);
  // A long curve comes thinned; where the reader zooms in, the rest of its points is fetched.
  const isThinned = metrics.curves.some((curve) => !isWhole(curve));
  const closerRange = isThinned && loss && view.range ? withLead(view.range, view, loss) : null;
  const names = drawnOn(view.axis, metrics);
  const closer = useLive(
    async (signal) => closerRange && curvesIn(job.id, names, closerRange, signal),
    { key: JSON.stringify([job.id, names, closerRange]) },
  );
  const shown = closer.value ?? metrics;
  const place = useMemo(() => placeOn(view.axis, shown, metrics), [view.axis, shown, metrics]);
  const smooth = () => setQuery({ smoothing: view.smoothing > 0 ? "0" : null });
  const toggleLog = () => setQuery({ log: view.log ? null : "1" });
  const save = () => download(`v1/jobs/${job.id}/metrics.csv`, `${job.id}.csv`);
  useKeys({ s: smooth, l: toggleLog });
  useCommands([
    { title: "Smoothing on or off", key: "S", run: smooth },
    { title: "Log axis of the loss", key: "L", run: toggleLog },
    { title: "Show the whole run", key: "0", run: () => setRange(null) },
    { title: "Download the curves as CSV", run: save },
  ]);
  if (!loss) {
    return (
      <div class="notice">
        <h2>No report yet</h2>
        <p>The curves begin with the first report of the trainer.</p>
      </div>
    );
  }
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Axis">
          {axes.map((axis) => (
            <button
              key={axis}
              aria-pressed={axis === view.axis}
              onClick={() => setQuery({ axis: axis === "step" ? null : axis })}
            >
              {words(axis)}
            </button>
          ))}
        </div>
        <label class="toggle">
          Smoothing
          <input
            type="range"
            min="0"
            max="0.99"
            step="0.01"
            value={view.smoothing}
            onInput={(event) => setQuery({ smoothing: event.currentTarget.value })}
          />
          <span class="mono">{view.smoothing.toFixed(2)}</span>
        </label>
        <label class="toggle">
          <input
            type="checkbox"
            checked={view.log}
            onChange={toggleLog}
          />
          Log loss
        </label>
        <label class="toggle">
          <input
            type="checkbox"
            checked={view.plan}
            onChange={() => setQuery({ noplan: view.plan ? "1" : null })}
          />
          Plan to the end
        </label>
        <span class="space" />
        <Thinned shown={curveOf(shown, "loss") ?? loss} />
        <button class="button" disabled={!view.range} onClick={() => setRange(null)}>
          Whole run
        </button>
        <button class="button" onClick={save}>
          <Icon name="down" />
          CSV
        </button>
      </div>
      <Stack
        job={job}
        metrics={shown}
        restarts={restarts}
        view={view}
        place={place}
        onRange={setRange}
      />
    </>
  );
}

/** The range with the reports before it whose mean its first value is. */
function withLead([first, last]: Range, { smoothing }: View, loss: Curve): Range {
  const stepsOfReport = (loss.steps.at(-1) ?? 0) / Math.max(1, loss.num_points);
  return [Math.max(0, first - reportsBefore(smoothing) * stepsOfReport), last];
}

function Thinned({ shown }: { shown: Curve }) {
  if (!shown.means) return null;
  return (
    <span class="small">
      {count(shown.num_points)} reports: their peaks, and the means of{" "}
      {count(Math.max(...shown.means.counts))}
    </span>
  );
}
