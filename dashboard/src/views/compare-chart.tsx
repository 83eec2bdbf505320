/** The smoothed training loss of several jobs, with their names at the ends of the lines. */

import { useState } from "preact/hooks";

import { type Line, Plot } from "../charts/plot";
import { aligned } from "../charts/tracks";
import { firstAbove, curveOf, type Range, seenRange } from "../model/curves";
import {
  axesOfAll,
  colorsOf,
  type CompareAxis,
  type Compared,
  DASHES,
  gapTo,
  namesOf,
  placeOf,
  spread,
} from "../model/compared";
import { count, duration, exponent, fixed, short } from "../model/format";
import { smoothedCurve, usualWeight } from "../model/smoothing";
import { route, setQuery } from "../router";
import { theme } from "../theme";

const WORDS: Record<CompareAxis, string> = {
  step: "Step",
  tokens: "Tokens",
  time: "Time",
  flops: "FLOPs",
};
const FORMATS: Record<CompareAxis, (value: number) => string> = {
  step: count,
  tokens: short,
  time: duration,
  flops: (value) => exponent(value, 1),
};
const HEIGHT = 340;
const GAP_HEIGHT = 120;
const TOP = 10; // above the plot, in the same picture
const NAME_HEIGHT = 16;
const SETTLED = 0.07;

interface Drawn {
  xs: number[];
  values: readonly (number | null)[];
}

export function CompareChart({ compared }: { compared: Compared[] }) {
  const axes = axesOfAll(compared);
  const wanted = route.value.query.get("axis") as CompareAxis;
  const axis = axes.includes(wanted) ? wanted : "step";
  const [range, setRange] = useState<Range | null>(null);
  const colors = colorsOf(compared.map(({ job }) => job));
  const drawn = compared.map((one) => lossOn(axis, one));
  const last = Math.max(1, ...drawn.map(({ xs }) => xs.at(-1) ?? 0));
  const seen = range ?? ([0, last] as const);
  const settled: Range = range ?? [last * SETTLED, last];
  const yRange = rangeOfAll(drawn, settled);
  const { xs, values } = aligned(
    drawn.map((one) => ({ steps: one.xs, values: one.values })),
    (place) => place,
  );
  const names = namesOf(compared.map(({ job }) => job));
  const base = compared.findIndex(({ job }) => job.id === route.value.query.get("gap"));
  const above = drawn.map((one) => ({ xs: one.xs, values: gapTo(drawn[base] ?? one, one) }));
  const gaps = aligned(
    above.map((one) => ({ steps: one.xs, values: one.values })),
    (place) => place,
  );
  const gapRange = rangeOfAll(above, settled);
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Axis">
          {axes.map((one) => (
            <button
              key={one}
              aria-pressed={one === axis}
              onClick={() => {
                setRange(null);
                setQuery({ axis: one === "step" ? null : one });
              }}
            >
              {WORDS[one]}
            </button>
          ))}
        </div>
        <span class="small">
          Training loss, smoothed, in nats
          {axis === "flops" && "; the FLOPs are estimated"}
        </span>
        <span class="space" />
        {compared.length > 1 && (
          <label class="toggle">
            Gap to
            <select
              value={compared[base]?.job.id ?? ""}
              onChange={(event) => setQuery({ gap: event.currentTarget.value })}
            >
              <option value="">none</option>
              {compared.map(({ job }, index) => (
                <option key={job.id} value={job.id}>
                  {names[index]}
                </option>
              ))}
            </select>
          </label>
        )}
        <button class="button" disabled={!range} onClick={() => setRange(null)}>
          Whole run
        </button>
      </div>
      {xs.length > 0 && (
        <div class="compared" key={`${theme.value} ${compared.length}`}>
          <Plot
            xs={xs}
            lines={lined(values, colors)}
            name={`Training loss of ${compared.length} jobs by ${axis === "flops" ? "FLOPs" : axis}`}
            height={HEIGHT}
            marks={[]}
            bands={[]}
            range={seen}
            yRange={yRange}
            formatY={(value) => fixed(value, 2)}
            formatX={FORMATS[axis]}
            onCursor={() => {}}
            onRange={setRange}
          />
          <Names compared={compared} colors={colors} drawn={drawn} seen={seen} yRange={yRange} />
          {base >= 0 && (
            <Plot
              xs={gaps.xs}
              lines={lined(gaps.values, colors)}
              name={`What the losses are above that of ${names[base]}`}
              height={GAP_HEIGHT}
              marks={[]}
              bands={[]}
              range={seen}
              yRange={gapRange}
              formatY={(value) => fixed(value, 2)}
              formatX={FORMATS[axis]}
              onCursor={() => {}}
              onRange={setRange}
            />
          )}
        </div>
      )}
    </>
  );
}

function lined(values: Line["values"][], colors: string[]): Line[] {
  return values.map((line, index) => {
    const color = colors[index] ?? "ctl";
    const dash = DASHES[color];
    return { color, values: line, ...(dash && { dash }) };
  });
}

function rangeOfAll(drawn: Drawn[], settled: Range): Range {
  const ranges = drawn
    .map(({ xs, values }) => seenRange(xs, values, settled))
    .filter((one) => one !== null);
  return ranges.length
    ? [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))]
    : [0, 1];
}

function lossOn(axis: CompareAxis, one: Compared): Drawn {
  const loss = curveOf(one.metrics, "loss");
  if (!loss) return { xs: [], values: [] };
  const { steps, values } = smoothedCurve(loss, usualWeight(loss.num_points));
  return { xs: steps.map(placeOf(axis, one)), values };
}

interface NamesProps {
  compared: Compared[];
  colors: string[];
  drawn: Drawn[];
  seen: Range;
  yRange: Range;
}

/** The name of each job at the height where its line ends. */
function Names({ compared, colors, drawn, seen, yRange }: NamesProps) {
  const ends = drawn.map(({ xs, values }) => values[firstAbove(xs, seen[1]) - 1] ?? null);
  const inside = ends.flatMap((end, index) => (end === null ? [] : [index]));
  const heights = inside.map((index) => {
    const share = ((ends[index] ?? 0) - yRange[0]) / (yRange[1] - yRange[0]);
    return TOP + (1 - Math.min(1, Math.max(0, share))) * (HEIGHT - TOP) - NAME_HEIGHT / 2;
  });
  const places = spread(heights, NAME_HEIGHT);
  const names = namesOf(compared.map(({ job }) => job));
  return (
    <div class="names" aria-hidden="true">
      {inside.map((index, place) => (
        <span
          key={compared[index]?.job.id}
          class={`cut ${colors[index]}`}
          style={{ top: `${places[place]}px` }}
        >
          {names[index]}
        </span>
      ))}
    </div>
  );
}
