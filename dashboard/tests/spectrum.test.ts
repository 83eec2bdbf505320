import { expect, test } from "vitest";

import { gridOf, highest, type Measured, meanOf, shadeOf, someOf } from "../src/model/spectrum";

const NAMES = ["q_proj", "v_proj"].flatMap((name) =>
  [0, 1].map((block) => `model.layers.${block}.self_attn.${name}`),
);

function measured(...ranks: number[]): Measured {
  const layers = ranks.map((rank, index) => [
    NAMES[index],
    { shape: [4, 4], singular_values: [], effective_rank: rank, stable_rank: 1, numerical_rank: 2 },
  ]);
  return { step: 1, restart: 1, layers: Object.fromEntries(layers) };
}

test("blocks are rows and projections columns, with gaps where a block has no such layer", () => {
  const grid = gridOf([...NAMES.slice(0, 3), "lm_head"]);
  expect(grid.rows).toEqual(["0", "1", "lm_head"]);
  expect(grid.columns).toEqual(["q_proj", "v_proj", "lm_head"]);
  expect(grid.layers[0]).toEqual([NAMES[0], NAMES[2], null]);
  expect(grid.layers[1]).toEqual([NAMES[1], null, null]);
  expect(grid.layers[2]).toEqual([null, null, "lm_head"]);
});

test("all maps have one scale", () => {
  const spectra = [measured(1, 2), measured(3, 9)];
  const top = highest(spectra, "effective_rank");
  expect(top).toBe(9);
  expect([0, 0.9, 1, 9].map((value) => shadeOf(value, top))).toEqual([0, 0, 1, 8]);
  expect(meanOf(spectra[1] as Measured, "effective_rank")).toBe(6);
});

test("of many measurements the first and the last are among those that are shown", () => {
  expect(someOf([1, 2, 3], 5)).toEqual([1, 2, 3]);
  expect(someOf([1, 2, 3, 4, 5, 6, 7, 8, 9], 5)).toEqual([1, 3, 5, 7, 9]);
});
