/** The charts of a job: tracks below each other, with one axis, one cursor and one zoom. */

import { useMemo, useRef, useState } from "preact/hooks";

import type { Job, Metrics } from "../api/types";
import { useKeys } from "../keys";
import {
  type Axis,
  curveOf,
  firstAbove,
  type Place,
  type Range,
} from "../model/curves";
import { count, duration, short, UNKNOWN } from "../model/format";
import { planOf } from "../model/plan";
import type { Restart } from "../model/restarts";
import { theme } from "../theme";
import { moveCursor, Plot, type Mark } from "./plot";
import { RestartCard } from "./restart-card";
import { Ruler } from "./ruler";
import { type Reading, type Track, tracksOf } from "./tracks";

export interface View {
  axis: Axis;
  smoothing: number;
  log: boolean;
  plan: boolean;
  /** In steps; null: the whole run. */
  range: Range | null;
}

export interface StackProps {
  job: Job;
  metrics: Metrics;
  restarts: Restart[];
  view: View;
  /** Where a step lies on the axis of the view. */
  place: Place;
  onRange: (range: Range | null) => void;
}

/** How near to a restart the cursor is at it, in shares of the width: of a mouse, and of a key. */
const SNAP = 0.006;
const EXACT = 1e-6;

const WORDS: Record<Axis, string> = { step: "step", tokens: "tokens", time: "time" };

export function Stack({ job, metrics, restarts, view, place, onRange }: StackProps) {
  const [cursor, setCursor] = useState<number | null>(null);
  const stepped = useRef<number | null>(null); // where a key has put it
  const [opened, setOpened] = useState<number | null>(null);
  const plan = planOf(job);
  const end = Math.max(1, view.plan ? plan.totalSteps : job.progress.step);
  const [first, last] = view.range ?? [0, end];
  const range: Range = [place(first), Math.max(place(last), place(first) + 1e-9)];
  const tracks = useMemo(
    () => tracksOf(metrics, place, { ...view, isZoomed: view.range !== null }, range),
    [metrics, place, view.smoothing, view.log, range[0], range[1]],
  );
  const done = new Set(restarts.map(({ step }) => step));
  const planned = plan.restarts.filter((step) => !done.has(step) && step > job.progress.step);
  const marks = marksOf(metrics, restarts, view.plan ? planned : [], plan.firstSteps, place);
  const hasWarmStart = plan.firstSteps > 0 && plan.firstSteps < plan.totalSteps;
  const bands: Range[] = hasWarmStart ? [[place(0), place(plan.firstSteps)]] : [];
  const formatX = (value: number) =>
    view.axis === "time" ? duration(value) : view.axis === "tokens" ? short(value) : count(value);

  const least = EXACT * (range[1] - range[0]);
  const isExact = Math.abs((cursor ?? 0) - (stepped.current ?? Number.POSITIVE_INFINITY)) < least;
  const snap = isExact ? least : SNAP * (range[1] - range[0]);
  const snapped =
    cursor === null
      ? null
      : (restarts.find((one) => Math.abs(place(one.step) - cursor) < snap) ?? null);
  const shown = restarts.find(({ number }) => number === opened) ?? snapped;
  const reading = shown ? place(shown.step) : cursor;
  const go = (by: number) => {
    const index = restarts.findIndex(({ number }) => number === shown?.number);
    const next = restarts[index < 0 ? (by > 0 ? 0 : restarts.length - 1) : index + by];
    if (next) setOpened(next.number);
  };
  /** Move the cursor to the next report or, `far`, to the next restart. */
  function step(by: 1 | -1, far: boolean): void {
    const reports = tracks[0]?.drawing.xs ?? [];
    const places = far ? restarts.map((restart) => place(restart.step)) : reports;
    const here = cursor ?? (by > 0 ? range[0] - 1 : range[1] + 1);
    const next = by > 0 ? firstAbove(places, here + least) : firstAbove(places, here - least) - 1;
    const x = places[next];
    if (x === undefined || x < range[0] || x > range[1]) return;
    stepped.current = x;
    moveCursor(x);
  }
  useKeys({
    "[": () => go(-1),
    "]": () => go(1),
    Escape: () => setOpened(null),
    ArrowLeft: (event) => step(-1, event.shiftKey),
    ArrowRight: (event) => step(1, event.shiftKey),
    "0": () => onRange(null),
    "+": () => onRange(scaled([first, last], 0.5, end)),
    "-": () => onRange(scaled([first, last], 2, end)),
  });

  return (
    <div class="stack" key={theme.value}>
      <Ruler
        plan={plan}
        restarts={restarts}
        planned={view.plan ? planned : []}
        at={(step) => (place(step) - range[0]) / (range[1] - range[0])}
        opened={shown?.number ?? null}
        onOpen={setOpened}
      />
      {tracks.map((track, index) => (
        <section class="track" key={track.name} aria-label={track.name}>
          <TrackHead track={track} at={reading} />
          <Plot
            {...track.drawing}
            name={`${track.name} by ${WORDS[view.axis]}`}
            height={track.height}
            marks={marks}
            bands={bands}
            range={range}
            formatX={index === tracks.length - 1 ? formatX : null}
            onCursor={(x) => {
              setCursor(x);
              if (x !== null) setOpened(null);
            }}
            onRange={(zoomed) => onRange(zoomed && stepsOf(zoomed, place, end))}
            {...(index === 0 && { onDrawn: markDrawn })}
          />
        </section>
      ))}
      {reading !== null && <p class="cursor-at">{`${WORDS[view.axis]} ${formatX(reading)}`}</p>}
      {shown && (
        <RestartCard
          restart={shown}
          loss={curveOf(metrics, "loss")}
          at={(place(shown.step) - range[0]) / (range[1] - range[0])}
        />
      )}
    </div>
  );
}

const DRAWN = "loss-drawn";

/** Tell a measurement when the loss was last drawn. */
function markDrawn(): void {
  performance.clearMarks(DRAWN);
  performance.mark(DRAWN);
}

function TrackHead({ track, at }: { track: Track; at: number | null }) {
  return (
    <div class="track-head">
      <h3>
        {track.name} <span class="unit">{track.unit}</span>
      </h3>
      <dl>
        {track.readings.map((reading, index) => (
          <div key={reading.name} class={index === 0 ? "leading" : undefined}>
            <dt>
              <i class={`${reading.key ?? "none"} ${reading.color ?? ""}`} />
              {reading.name}
            </dt>
            <dd>{valueAt(reading, at)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

/** The value of the last report up to a place of the axis; without a place, the latest. */
function valueAt({ xs, values, format }: Reading, at: number | null): string {
  const index = at === null ? xs.length - 1 : firstAbove(xs, at + 1e-9) - 1;
  return index < 0 ? UNKNOWN : format(values[index] ?? null);
}

/** The range around the same middle; null if that is the whole run. */
function scaled([first, last]: Range, by: number, end: number): Range | null {
  const middle = (first + last) / 2;
  const half = Math.max(1, ((last - first) / 2) * by);
  const range: Range = [Math.max(0, middle - half), Math.min(end, middle + half)];
  return range[0] === 0 && range[1] === end ? null : range;
}

/** The steps of a range of the axis. */
function stepsOf(range: Range, place: (step: number) => number, end: number): Range {
  const stepAt = (x: number) => {
    let low = 0;
    let high = end;
    while (high - low > 0.5) {
      const middle = (low + high) / 2;
      if (place(middle) > x) high = middle;
      else low = middle;
    }
    return Math.round(low);
  };
  return [stepAt(range[0]), Math.max(stepAt(range[0]) + 2, stepAt(range[1]))];
}

function marksOf(
  metrics: Metrics,
  restarts: Restart[],
  planned: number[],
  firstSteps: number,
  place: (step: number) => number,
): Mark[] {
  const kinds = { resume: "attempt", rewind: "rewind", phase: "phase" } as const;
  const found = metrics.markers.flatMap(({ kind, step }) => {
    const drawn = kind === "resume" || kind === "rewind" || kind === "phase" ? kinds[kind] : null;
    return drawn && step > 0 ? [{ at: place(step), kind: drawn }] : [];
  });
  const isSeen = metrics.markers.some(({ kind, step }) => kind === "phase" && step === firstSteps);
  return [
    ...found,
    ...(isSeen ? [] : [{ at: place(firstSteps), kind: "phase" as const }]),
    ...restarts.map(({ step }) => ({ at: place(step), kind: "restart" as const })),
    ...planned.map((step) => ({ at: place(step), kind: "planned" as const })),
  ];
}
