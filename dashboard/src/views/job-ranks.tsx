/** The rank of the total update, restart by restart: whether ReLoRA finds new directions. */

import { ApiError, get } from "../api/client";
import type { Job } from "../api/types";
import { Plot } from "../charts/plot";
import { useLive } from "../live";
import { seenRange } from "../model/curves";
import { count, exponent, fixed, words } from "../model/format";
import { isFinal } from "../model/job";
import {
  type Grid,
  gridOf,
  highest,
  meanOf,
  type Measured,
  type Rank,
  RANKS,
  shadeOf,
  someOf,
  type SpectrumFile,
} from "../model/spectrum";
import { Failed, Loading } from "../parts/notice";
import { route, setQuery } from "../router";
import { theme } from "../theme";

const ASK_MILLISECONDS = 5000;
const MAPS = 5;
const PLOT_HEIGHT = 220;

export function JobRanks({ job }: { job: Job }) {
  const live = useLive(
    (signal) => get<SpectrumFile>(`v1/jobs/${job.id}/artifacts/reports/spectrum.json`, {}, signal),
    { key: job.id, every: isFinal(job.status) ? 0 : ASK_MILLISECONDS },
  );
  if (live.value?.spectra.length) return <Spectra file={live.value} />;
  const isMissing = live.error instanceof ApiError && live.error.status === 404;
  if (live.error && !isMissing) {
    return <Failed what="The report on ranks" error={live.error} retry={live.refresh} />;
  }
  if (!live.error && !live.value) return <Loading widths={[320, 280]} />;
  return (
    <div class="notice">
      <h2>No rank was measured yet</h2>
      <p>
        A run measures its update at each restart and at its end, if <code>spectrum.enabled</code>{" "}
        is not false. The report comes with the next checkpoint.
      </p>
    </div>
  );
}

function Spectra({ file }: { file: SpectrumFile }) {
  const { query } = route.value;
  const asked = query.get("rank") as Rank;
  const rank = RANKS.includes(asked) ? asked : "effective_rank";
  const names = Object.keys(file.spectra[0]?.layers ?? {});
  const layer = names.find((name) => name === query.get("layer")) ?? names[0] ?? "";
  const grid = gridOf(names);
  const top = highest(file.spectra, rank);
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Measure">
          {RANKS.map((one) => (
            <button
              key={one}
              aria-pressed={one === rank}
              onClick={() => setQuery({ rank: one === "effective_rank" ? null : one })}
            >
              {words(one)}
            </button>
          ))}
        </div>
        <span class="small">
          of W − W₀, the update since step {count(file.since_step)}, in {names.length} layers
          {file.rank !== null && `. Each restart merges a product of rank ${file.rank} at most`}
        </span>
        <span class="space" />
        <Scale top={top} />
      </div>
      <div class="maps">
        {someOf(file.spectra, MAPS).map((one) => (
          <HeatMap
            key={one.step}
            measured={one}
            isLast={one === file.spectra.at(-1)}
            grid={grid}
            rank={rank}
            top={top}
            layer={layer}
          />
        ))}
      </div>
      <div class="halves">
        <section>
          <div class="toolbar">
            <h2>Singular values</h2>
            <select
              aria-label="Layer"
              value={layer}
              onChange={(event) => setQuery({ layer: event.currentTarget.value })}
            >
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </div>
          <Values file={file} layer={layer} />
        </section>
        <Means spectra={file.spectra} />
      </div>
    </>
  );
}

function Scale({ top }: { top: number }) {
  return (
    <span class="scale small">
      0
      {Array.from({ length: 9 }, (_, shade) => (
        <i key={shade} class={`q${shade}`} />
      ))}
      {fixed(top, top < 10 ? 1 : 0)}
    </span>
  );
}

interface HeatMapProps {
  measured: Measured;
  isLast: boolean;
  grid: Grid;
  rank: Rank;
  top: number;
  layer: string;
}

function HeatMap({ measured, isLast, grid, rank, top, layer }: HeatMapProps) {
  const title = isLast ? "Latest" : `Restart ${measured.restart}`;
  const mean = fixed(meanOf(measured, rank), 1);
  return (
    <figure>
      <figcaption>
        <b>{title}</b> <span class="small">step {count(measured.step)}</span>
        <br />
        <span class="mono">mean {mean}</span>
      </figcaption>
      <table
        class="map"
        aria-label={`${words(rank)} of each layer at step ${measured.step}, mean ${mean}`}
      >
        <thead>
          <tr>
            <th />
            {grid.columns.map((column) => (
              <th key={column}>{column.replace(/_proj$/, "")}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {grid.rows.map((row, index) => (
            <tr key={row}>
              <th>{row}</th>
              {(grid.layers[index] ?? []).map((name, column) => {
                const value = name ? measured.layers[name]?.[rank] : undefined;
                return (
                  <td
                    key={grid.columns[column]}
                    class={`${value === undefined ? "" : `q${shadeOf(value, top)}`} ${
                      name === layer ? "picked" : ""
                    }`}
                    title={value === undefined ? undefined : `${name}: ${fixed(value, 1)}`}
                    onClick={() => name && setQuery({ layer: name })}
                  />
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}

const SMALLEST = 1e-6; // of the largest value; what is smaller is rounding

function Values({ file, layer }: { file: SpectrumFile; layer: string }) {
  const shown = someOf(file.spectra, MAPS);
  const largest = Math.max(...shown.map((one) => one.layers[layer]?.singular_values[0] ?? 0));
  const lines = shown.map((one, index) => ({
    color: `q${Math.max(3, 8 - (shown.length - 1 - index))}`,
    values: (one.layers[layer]?.singular_values ?? []).map((value) =>
      value > SMALLEST * largest ? value : null,
    ),
  }));
  const xs = Array.from({ length: Math.max(1, ...lines.map(({ values }) => values.length)) }, (_, n) => n + 1);
  const all = lines.flatMap(({ values }) => values.filter((value) => value !== null));
  const yRange = seenRange(all.map((_, n) => n), all, [0, all.length], 0) ?? [1e-3, 1];
  const end = xs.length;
  const marks = file.rank
    ? shown.map(({ restart }) => restart * (file.rank ?? 0)).filter((at) => at > 0 && at <= end)
    : [];
  return (
    <div key={`${theme.value} ${shown.length}`}>
      <Plot
        xs={xs}
        lines={lines}
        name={`Singular values of the update of ${layer}`}
        height={PLOT_HEIGHT}
        marks={marks.map((at) => ({ at, kind: "phase" as const }))}
        bands={[]}
        range={[1, Math.max(2, end)]}
        yRange={yRange}
        log
        formatY={(value) => (value >= 0.01 && value < 1000 ? String(value) : exponent(value, 0))}
        formatX={count}
        onCursor={() => {}}
        onRange={() => {}}
      />
    </div>
  );
}

function Means({ spectra }: { spectra: Measured[] }) {
  return (
    <section>
      <div class="toolbar">
        <h2>Mean over the layers</h2>
      </div>
      <table class="dense">
        <thead>
          <tr>
            <th>At</th>
            <th class="number">Step</th>
            <th class="number">Effective</th>
            <th class="number">Gained</th>
            <th class="number">Stable</th>
            <th class="number">Numerical</th>
          </tr>
        </thead>
        <tbody>
          {spectra.map((one, index) => {
            const before = spectra[index - 1];
            const rank = meanOf(one, "effective_rank");
            const gained = rank - (before ? meanOf(before, "effective_rank") : 0);
            return (
              <tr key={one.step}>
                <td>{index === spectra.length - 1 ? "Latest" : `Restart ${one.restart}`}</td>
                <td class="number">{count(one.step)}</td>
                <td class="number">
                  <b>{fixed(rank, 1)}</b>
                </td>
                <td class="number">
                  {gained < 0 ? "−" : "+"}
                  {fixed(Math.abs(gained), 1)}
                </td>
                <td class="number">{fixed(meanOf(one, "stable_rank"), 1)}</td>
                <td class="number">{fixed(meanOf(one, "numerical_rank"), 1)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
