/** One plot of a stack: curves over a shared axis, with marks and bands that go through all. */

import "uplot/dist/uPlot.min.css";

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import type { Range } from "../model/curves";
import { font, token } from "./colors";

export interface Line {
  color: string;
  values: (number | null | undefined)[];
  width?: number;
  faint?: boolean;
  dash?: number[];
}

export interface Mark {
  at: number;
  kind: "restart" | "planned" | "phase" | "attempt" | "rewind";
}

export interface Drawing {
  xs: number[];
  lines: Line[];
  /** Values that were measured now and then: hollow diamonds. */
  points?: { xs: number[]; values: (number | null)[] };
  marks: Mark[];
  bands: Range[];
  range: Range;
  yRange: Range;
  log?: boolean;
  formatY: (value: number) => string;
  /** Labels of the axis below; null: this plot has none. */
  formatX: ((value: number) => string) | null;
}

interface PlotProps extends Drawing {
  height: number;
  name: string;
  onCursor: (x: number | null) => void;
  onRange: (range: Range | null) => void;
  onDrawn?: () => void;
}

export const AXIS_WIDTH = 52;
const RIGHT = 20; // half of the last label of the axis
const FOOT = 26;
const SYNC = uPlot.sync("stack");

export function Plot(props: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  const plot = useRef<uPlot | null>(null);
  latest.current = props;
  // What cannot change in a plot that is there.
  const shape = JSON.stringify([
    props.lines.map(({ color, width, faint, dash }) => [color, width, faint, dash]),
    props.log,
    props.height,
    props.formatX === null,
  ]);

  useEffect(() => {
    const element = box.current as HTMLDivElement;
    const made = new uPlot(options(latest, element.clientWidth), data(props), element);
    plot.current = made;
    const resized = new ResizeObserver(() => {
      const height = latest.current.height + (latest.current.formatX ? FOOT : 0);
      made.setSize({ width: element.clientWidth, height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data(props));
  });

  return <div ref={box} class="plot" role="img" aria-label={props.name} />;
}

function data({ xs, lines }: Drawing): uPlot.AlignedData {
  return [xs, ...lines.map((line) => line.values)] as uPlot.AlignedData;
}

type Latest = { readonly current: PlotProps };

function options(latest: Latest, width: number): uPlot.Options {
  const { lines, height, formatX, log } = latest.current;
  return {
    width,
    height: height + (formatX ? FOOT : 0),
    legend: { show: false },
    padding: [10, RIGHT, formatX ? 0 : 8, 0],
    scales: {
      x: { time: false, range: () => [...latest.current.range] as [number, number] },
      y: { distr: log ? 3 : 1, range: () => [...latest.current.yRange] as [number, number] },
    },
    cursor: {
      sync: { key: SYNC.key, setSeries: false },
      y: false,
      points: { size: 7, width: 1.5, fill: () => token("bg") },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          latest.current.onRange(null);
          return null;
        },
      },
    },
    axes: [xAxis(latest, formatX !== null), yAxis(latest)],
    series: [{}, ...lines.map(seriesOf)],
    hooks: {
      drawClear: [(plot) => drawBelow(plot, latest.current)],
      draw: [
        (plot) => {
          drawPoints(plot, latest.current);
          latest.current.onDrawn?.();
        },
      ],
      setSelect: [(plot) => zoom(plot, latest.current)],
      setCursor: [(plot) => latest.current.onCursor(cursorAt(plot))],
    },
  };
}

function seriesOf({ color, width = 1.5, faint = false, dash }: Line): uPlot.Series {
  return {
    stroke: () => token(color),
    width: faint ? 1 : width,
    alpha: faint ? Number(token("raw")) : 1,
    points: { show: false },
    ...(dash && { dash }),
  };
}

function xAxis(latest: Latest, shown: boolean): uPlot.Axis {
  return {
    show: shown,
    size: FOOT,
    font: font(),
    stroke: () => token("ink3"),
    grid: { show: false },
    ticks: { stroke: () => token("line2"), width: 1, size: 4 },
    border: { show: true, stroke: () => token("line2"), width: 1 },
    gap: 4,
    space: 90,
    values: (_, splits) => splits.map((value) => latest.current.formatX?.(value) ?? ""),
  };
}

function yAxis(latest: Latest): uPlot.Axis {
  return {
    size: AXIS_WIDTH,
    font: font(),
    stroke: () => token("ink3"),
    grid: { stroke: () => token("grid"), width: 1 },
    ticks: { show: false },
    gap: 8,
    space: 26,
    // On a log axis only some of the lines have a label.
    values: (_, splits: (number | null)[]) =>
      splits.map((value) => (value === null ? "" : latest.current.formatY(value))),
  };
}

function cursorAt(plot: uPlot): number | null {
  const left = plot.cursor.left ?? -1;
  return left < 0 ? null : plot.posToVal(left, "x");
}

/** Put the cursor of all plots at a place of their axis. */
export function moveCursor(x: number): void {
  const [plot] = SYNC.plots;
  plot?.setCursor({ left: plot.valToPos(x, "x"), top: 1 });
}

function zoom(plot: uPlot, { onRange }: PlotProps): void {
  const { left, width } = plot.select;
  if (width > 4) onRange([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

const STROKES: Record<Mark["kind"], { color: string; alpha: number; dash: number[] }> = {
  restart: { color: "rust", alpha: 0.55, dash: [] },
  planned: { color: "rust", alpha: 0.45, dash: [3, 3] },
  phase: { color: "ink3", alpha: 0.9, dash: [] },
  attempt: { color: "ink3", alpha: 0.9, dash: [3, 3] },
  rewind: { color: "bad", alpha: 0.9, dash: [3, 3] },
};

function drawBelow(plot: uPlot, { bands, marks }: PlotProps): void {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, 0, width, top + height);
  ctx.clip();
  ctx.fillStyle = token("band");
  for (const [start, end] of bands) {
    const x = plot.valToPos(start, "x", true);
    ctx.fillRect(x, 0, plot.valToPos(end, "x", true) - x, top + height);
  }
  ctx.lineWidth = devicePixelRatio;
  for (const { at, kind } of marks) {
    const { color, alpha, dash } = STROKES[kind];
    const x = Math.round(plot.valToPos(at, "x", true)) + 0.5;
    ctx.strokeStyle = token(color);
    ctx.globalAlpha = alpha;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(x, 0);
    ctx.lineTo(x, top + height);
    ctx.stroke();
  }
  ctx.restore();
}

function drawPoints(plot: uPlot, { points, range }: PlotProps): void {
  if (!points) return;
  const { ctx } = plot;
  const size = 4 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = token("ink");
  ctx.fillStyle = token("bg");
  ctx.lineWidth = 1.25 * devicePixelRatio;
  points.xs.forEach((at, index) => {
    const value = points.values[index];
    if (value === null || value === undefined || at < range[0] || at > range[1]) return;
    const x = plot.valToPos(at, "x", true);
    const y = plot.valToPos(value, "y", true);
    if (y < 0 || y > plot.bbox.top + plot.bbox.height) return;
    ctx.beginPath();
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  });
  ctx.restore();
}
