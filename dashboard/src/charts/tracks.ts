/** The tracks of a job's charts: which curves each has, and how they are drawn and read. */

import uPlot from "uplot";

import type { Curve, Metrics } from "../api/types";
import { curveOf, type Place, type Range, SERIES, seenRange } from "../model/curves";
import { exponent, fixed, memory, perplexity, share, short, UNKNOWN } from "../model/format";
import { smoothedCurve, type Series } from "../model/smoothing";
import type { Drawing, Line } from "./plot";

/** What of a view the tracks depend on. */
export interface Shown {
  smoothing: number;
  log: boolean;
  /** Whether the reader has zoomed in; then the y axes fit what is seen. */
  isZoomed: boolean;
}

export interface Reading {
  name: string;
  key?: "line" | "faint" | "dashed" | "diamond";
  /** The colour of its curve, which its key has too. */
  color?: string;
  xs: number[];
  values: Series["values"];
  format: (value: number | null) => string;
}

export interface Track {
  name: string;
  unit: string;
  height: number;
  drawing: Omit<Drawing, "marks" | "bands" | "range" | "formatX">;
  readings: Reading[];
}

interface Make {
  metrics: Metrics;
  place: Place;
  shown: Shown;
  range: Range;
}

/** A curve of a track: how it is drawn, and how its value is read. */
interface Part {
  name: string;
  series: Series;
  format: Reading["format"];
  line?: Omit<Line, "values">;
  key?: Reading["key"];
}

const SETTLED = 0.07; // the share of the first reports that the range of an axis passes over

export function tracksOf(metrics: Metrics, place: Place, shown: Shown, range: Range): Track[] {
  const make = { metrics, place, shown, range };
  const made = [
    lossTrack,
    setsTrack,
    rateTrack,
    sourcesTrack,
    normTrack,
    paceTrack,
    useTrack,
    memoryTrack,
  ];
  return made.map((one) => one(make)).filter((track) => track !== null);
}

type Head = Pick<Track, "name" | "unit" | "height">;
type Axis = Pick<Drawing, "yRange" | "formatY" | "log">;

function track(head: Head, place: Place, parts: Part[], axis: Axis): Track {
  const drawn = parts.filter(({ line }) => line);
  const { xs, values } = aligned(drawn.map(({ series }) => series), place);
  const lines = drawn.map(({ line }, index) => ({ ...(line as Line), values: values[index] ?? [] }));
  return {
    ...head,
    drawing: { xs, lines, ...axis },
    readings: parts.map(({ name, series, format, key, line }) => ({
      name,
      xs: series.steps.map(place),
      values: series.values,
      format,
      ...(key && { key }),
      ...(line && { color: line.color }),
    })),
  };
}

/** The series over one list of places. Where one has no point, it has no value, which is no gap. */
export function aligned(
  several: Series[],
  place: Place,
): { xs: number[]; values: (number | null | undefined)[][] } {
  const [first] = several;
  if (!first) return { xs: [], values: [] };
  const isShared = several.every(({ steps }) => steps === first.steps);
  if (isShared) {
    return { xs: first.steps.map(place), values: several.map(({ values }) => [...values]) };
  }
  const tables = several.map(({ steps, values }) => [steps.map(place), values]);
  const [xs = [], ...values] = uPlot.join(tables as uPlot.AlignedData[]) as number[][];
  return { xs, values };
}

/** The range of the values that are seen; of the whole run, without its first reports. */
function rangeOf(series: Series, { place, shown, range }: Make, room: number): Range | null {
  const xs = series.steps.map(place);
  const settled = xs[Math.min(xs.length - 1, Math.ceil(xs.length * SETTLED))] ?? range[0];
  const seen: Range = shown.isZoomed ? range : [Math.max(range[0], settled), range[1]];
  return seenRange(xs, series.values, seen, room);
}

/** A curve as it was reported, faint, and its exponential mean. */
function smoothedParts(curve: Curve, weight: number, format: Reading["format"]): Part[] {
  const each = { name: "each report", series: curve, format };
  if (weight === 0) return [{ ...each, key: "line", line: { color: "s1" } }];
  const smooth = smoothedCurve(curve, weight);
  return [
    { name: "smoothed", series: smooth, format, key: "line", line: { color: "s1" } },
    { ...each, key: "faint", line: { color: "s1", faint: true } },
  ];
}

function lossTrack(make: Make): Track | null {
  const { metrics, place, shown } = make;
  const loss = curveOf(metrics, "loss");
  if (!loss) return null;
  const format = (value: number | null) => fixed(value, 3);
  const parts = smoothedParts(loss, shown.smoothing, format);
  const main = parts[0]?.series ?? loss;
  const whole = { ...make, shown: { ...shown, isZoomed: shown.isZoomed || shown.log } };
  const yRange = rangeOf(main, whole, 0.12) ?? [0, 1];
  const validation = curveOf(metrics, "validation_loss");
  const scores = curveOf(metrics, "validation_perplexity");
  if (validation) parts.push({ name: "validation", series: validation, format, key: "diamond" });
  if (scores) parts.push({ name: "perplexity", series: scores, format: perplexity });
  const made = track({ name: "Loss", unit: "nats", height: 232 }, place, parts, {
    yRange: shown.log ? [Math.max(1e-3, yRange[0]), yRange[1]] : yRange,
    log: shown.log,
    formatY: (value) => fixed(value, yRange[1] - yRange[0] < 0.5 ? 2 : 1),
  });
  if (validation) {
    const points = { xs: validation.steps.map(place), values: validation.values };
    made.drawing.points = points;
  }
  return made;
}

/** The curves of one metric for each part of the data that has a name: validation_loss/web. */
function partsOf(make: Make, metric: string, format: Reading["format"]): Part[] {
  const of = `${metric}/`;
  const found = make.metrics.curves.filter(({ name }) => name.startsWith(of));
  return found.map((series, index) => {
    const color = SERIES[index % SERIES.length] ?? "s1";
    const name = series.name.slice(of.length);
    const isRepeated = index >= SERIES.length;
    const line = { color, width: 1.25, ...(isRepeated && { dash: [6, 3] }) };
    return { name, series, format, key: isRepeated ? "dashed" : "line", line };
  });
}

/** The loss on each validation set, and on the held-out part of each source of a mixture. */
function setsTrack(make: Make): Track | null {
  const parts = partsOf(make, "validation_loss", (value) => fixed(value, 3));
  if (parts.length === 0) return null;
  const ranges = parts.flatMap(({ series }) => {
    const found = rangeOf(series, make, 0.12);
    return found ? [found] : [];
  });
  const low = Math.min(...ranges.map(([least]) => least));
  const high = Math.max(...ranges.map(([, most]) => most));
  return track({ name: "Validation sets", unit: "nats", height: 132 }, make.place, parts, {
    yRange: ranges.length > 0 ? [low, high] : [0, 1],
    formatY: (value) => fixed(value, high - low < 0.5 ? 2 : 1),
  });
}

/** How often each source of a mixture was read. */
function sourcesTrack(make: Make): Track | null {
  const parts = partsOf(make, "epochs", (value) => fixed(value, 2));
  if (parts.length === 0) return null;
  return track({ name: "Sources read", unit: "epochs", height: 80 }, make.place, parts, {
    yRange: [0, top(parts, make)],
    formatY: (value) => fixed(value, 1),
  });
}

function rateTrack(make: Make): Track | null {
  const rate = curveOf(make.metrics, "learning_rate");
  if (!rate) return null;
  const format = (value: number | null) => exponent(value);
  const parts: Part[] = [
    { name: "at this step", series: rate, format, key: "line", line: { color: "s1" } },
  ];
  const factors = curveOf(make.metrics, "factor_learning_rate");
  if (factors) {
    const line = { color: "s2", dash: [6, 3] };
    parts.push({ name: "of A and B", series: factors, format, key: "dashed", line });
  }
  return track({ name: "Learning rate", unit: "", height: 88 }, make.place, parts, {
    yRange: [0, top(parts, make)],
    formatY: (value) => exponent(value, 0),
  });
}

function top(parts: Part[], { place, range }: Make): number {
  const tops = parts.map(
    ({ series }) => seenRange(series.steps.map(place), series.values, range, 0.1)?.[1] ?? 0,
  );
  return Math.max(...tops) || 1;
}

function normTrack(make: Make): Track | null {
  const norm = curveOf(make.metrics, "grad_norm");
  if (!norm) return null;
  const weight = make.shown.smoothing > 0 ? 0.9 : 0;
  const parts = smoothedParts(norm, weight, (value) => fixed(value, 2));
  const head = { name: "Gradient norm", unit: "before clipping", height: 80 };
  return track(head, make.place, parts, {
    yRange: [0, rangeOf(norm, make, 0.1)?.[1] ?? 1],
    formatY: (value) => fixed(value, 1),
  });
}

function paceTrack(make: Make): Track | null {
  const pace = curveOf(make.metrics, "tokens_per_second");
  if (!pace) return null;
  const line = { color: "s1", width: 1.25 };
  const parts: Part[] = [{ name: "tokens/s", series: pace, format: short, key: "line", line }];
  const waits = curveOf(make.metrics, "data_wait_seconds");
  const seconds = (value: number | null) => (value === null ? UNKNOWN : `${fixed(value, 3)} s`);
  if (waits) parts.push({ name: "waited for data", series: waits, format: seconds });
  const [low, high] = rangeOf(pace, make, 0.2) ?? [0, 1];
  return track({ name: "Pace", unit: "tokens/s", height: 72 }, make.place, parts, {
    yRange: [Math.max(0, low), high],
    formatY: short,
  });
}

/** The share of the peak of the GPU that the run uses. */
function useTrack(make: Make): Track | null {
  const mfu = curveOf(make.metrics, "mfu");
  if (!mfu) return null;
  const format = (value: number | null) => share(value);
  const line = { color: "s1", width: 1.25 };
  const parts: Part[] = [{ name: "model", series: mfu, format, key: "line", line }];
  const hfu = curveOf(make.metrics, "hfu");
  if (hfu) {
    const dashed = { color: "s2", dash: [6, 3] };
    parts.push({ name: "with recomputation", series: hfu, format, key: "dashed", line: dashed });
  }
  return track({ name: "FLOPs used", unit: "of the peak", height: 66 }, make.place, parts, {
    yRange: [0, top(parts, make)],
    formatY: (value) => share(value, 0),
  });
}

const MEMORY = [
  { metric: "memory_peak_bytes", name: "peak", color: "s1" },
  { metric: "memory_allocated_bytes", name: "in use", color: "s2" },
];

function memoryTrack(make: Make): Track | null {
  const parts = MEMORY.flatMap(({ metric, name, color }): Part[] => {
    const series = curveOf(make.metrics, metric);
    const format = (value: number | null) => memory(value);
    return series ? [{ name, series, format, key: "line", line: { color, width: 1.25 } }] : [];
  });
  if (parts.length === 0) return null;
  return track({ name: "Memory", unit: "", height: 66 }, make.place, parts, {
    yRange: [0, top(parts, make)],
    formatY: (value) => memory(value),
  });
}
