/** The changes from one document to another, as a JSON merge patch (RFC 7396). */

import type { Document } from "./schema";

type Values = Record<string, unknown>;

/** Return what makes `to` of `from`. What `from` has as null or empty, `to` may leave out. */
export function patchOf(from: Values, to: Values): Document {
  const patch: Values = {};
  for (const [key, value] of Object.entries(to)) {
    const before = from[key];
    if (isObject(before) && isObject(value)) {
      const changes = patchOf(before, value);
      if (Object.keys(changes).length > 0) patch[key] = changes;
    } else if (JSON.stringify(before) !== JSON.stringify(value)) patch[key] = value;
  }
  const gone = Object.keys(from).filter((key) => !(key in to));
  // An object of another kind, such as another method, has none of the fields of before.
  const isOther = gone.some((key) => !isAbsent(from[key]));
  if (isOther) for (const key of gone) patch[key] = null;
  return patch as Document;
}

function isObject(value: unknown): value is Values {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function isAbsent(value: unknown): boolean {
  return value === null || (typeof value === "object" && Object.keys(value as object).length === 0);
}
