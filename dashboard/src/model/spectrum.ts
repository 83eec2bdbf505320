/** The singular values of the total update, layer by layer, as a run reports them. */

export interface Spectrum {
  shape: [number, number];
  singular_values: number[];
  effective_rank: number;
  stable_rank: number;
  numerical_rank: number;
}

export interface Measured {
  step: number;
  /** The restarts so far, with one right before this step. */
  restart: number;
  layers: Record<string, Spectrum>;
}

/** `reports/spectrum.json` of a run. */
export interface SpectrumFile {
  method: string;
  rank: number | null;
  since_step: number;
  spectra: Measured[];
}

export const RANKS = ["effective_rank", "stable_rank", "numerical_rank"] as const;
export type Rank = (typeof RANKS)[number];

export interface Grid {
  /** The numbers of the blocks, or where a layer is in none, its name. */
  rows: string[];
  /** The names of the projections. */
  columns: string[];
  /** The name of the layer in each cell, or null. */
  layers: (string | null)[][];
}

/** `model.layers.11.self_attn.v_proj` is in row 11 and in column v_proj. */
function placeOf(layer: string): [row: string, column: string] {
  const block = /\.(\d+)\./.exec(layer)?.[1];
  return [block ?? layer, layer.split(".").at(-1) ?? layer];
}

/** Blocks down, projections across, in the order of the model. */
export function gridOf(layers: readonly string[]): Grid {
  const places = new Map(layers.map((layer) => [placeOf(layer).join(" "), layer]));
  const rows = [...new Set(layers.map((layer) => placeOf(layer)[0]))];
  const columns = [...new Set(layers.map((layer) => placeOf(layer)[1]))];
  return {
    rows,
    columns,
    layers: rows.map((row) => columns.map((column) => places.get(`${row} ${column}`) ?? null)),
  };
}

export function meanOf(measured: Measured, rank: Rank): number {
  const layers = Object.values(measured.layers);
  return layers.reduce((sum, layer) => sum + layer[rank], 0) / Math.max(1, layers.length);
}

/** The largest value of any layer at any time, for one scale over all maps. */
export function highest(spectra: readonly Measured[], rank: Rank): number {
  const values = spectra.flatMap(({ layers }) => Object.values(layers).map((layer) => layer[rank]));
  return Math.max(1e-9, ...values);
}

const SHADES = 9;

/** The shade of a value, 0 to 8. */
export function shadeOf(value: number, top: number): number {
  return Math.min(SHADES - 1, Math.floor((value / top) * SHADES));
}

/** At most `most` of the measurements: the first, the last, and some evenly between. */
export function someOf<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  const indices = Array.from({ length: most }, (_, one) =>
    Math.round((one * (all.length - 1)) / (most - 1)),
  );
  return indices.map((index) => all[index] as T);
}
