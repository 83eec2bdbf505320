/** The fields in which specs differ. */

import { UNKNOWN } from "./format";

export interface Difference {
  path: string;
  /** One for each spec; an en dash where the spec has no such field. */
  values: string[];
}

export function differences(specs: readonly unknown[]): Difference[] {
  const flat = specs.map((spec) => new Map(leaves(spec)));
  const paths = new Set(flat.flatMap((one) => [...one.keys()]));
  return [...paths]
    .map((path) => ({ path, values: flat.map((one) => one.get(path) ?? UNKNOWN) }))
    .filter(({ path, values }) => path !== "name" && new Set(values).size > 1);
}

function leaves(value: unknown, path = ""): [string, string][] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object" || Array.isArray(value)) return [[path, textOf(value)]];
  return Object.entries(value).flatMap(([key, one]) => leaves(one, path ? `${path}.${key}` : key));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
