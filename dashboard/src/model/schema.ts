/** The fields of a form, from the JSON schema of a spec. */

export interface Schema {
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  discriminator?: { propertyName: string; mapping: Record<string, string> };
  properties?: Record<string, Schema>;
  required?: string[];
  title?: string;
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
}

export type Schemas = Record<string, Schema>;
export type Document = Record<string, unknown>;

export interface Field {
  path: string;
  name: string;
  kind: "number" | "text" | "choice" | "switch";
  choices: string[];
  description: string;
  /** What holds if the field is left out, as text; empty where nothing does. */
  fallback: string;
  isInteger: boolean;
}

export interface Group {
  name: string;
  title: string;
  fields: Field[];
}

// What a person sets first; the others of a group follow.
const USUAL = ["name", "preset", "uri", "rank", "steps", "learning_rate", "every", "gpus"];

/** The groups of a form: one for each part of the spec that has fields of one value. */
export function groupsOf(schemas: Schemas, document: Document): Group[] {
  const spec = schemas.JobSpec ?? {};
  const groups = Object.entries(spec.properties ?? {}).map(([name, part]) => ({
    name,
    title: titleOf(name),
    fields: usualFirst(fieldsOf(schemas, part, name, at(document, name))),
  }));
  const alone = groups.filter(({ name, fields }) => fields[0]?.path === name);
  const parts = groups.filter(({ name, fields }) => fields.length && fields[0]?.path !== name);
  return [{ name: "", title: "Job", fields: alone.flatMap(({ fields }) => fields) }, ...parts];
}

function fieldsOf(schemas: Schemas, schema: Schema, path: string, value: unknown): Field[] {
  const resolved = resolve(schemas, schema, value);
  const field = fieldOf(resolved, schema, path);
  if (field) return [field];
  return Object.entries(resolved.properties ?? {}).flatMap(([name, one]) => {
    const inner = (value as Document | undefined)?.[name];
    return fieldsOf(schemas, one, `${path}.${name}`, inner);
  });
}

/** Follow references, leave out null, and choose among objects the one that the value is. */
function resolve(schemas: Schemas, schema: Schema, value: unknown): Schema {
  if (schema.$ref) {
    const found = schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {};
    return resolve(schemas, found, value);
  }
  const kinds = (schema.oneOf ?? schema.anyOf)?.filter((kind) => kind.type !== "null");
  if (!kinds) return schema;
  const objects = kinds.map((kind) => resolve(schemas, kind, value));
  if (objects.length === 1) return objects[0] ?? {};
  if (!objects.every((one) => one.properties)) return { ...schema, anyOf: objects };
  const given = value && typeof value === "object" ? (value as Document) : {};
  const named = objects.find((one) => isNamed(one, given.name ?? nameByDefault(schema)));
  const fitting = objects.find((one) => Object.keys(given).some((key) => one.properties?.[key]));
  return withNames(named ?? fitting ?? objects[0] ?? {}, objects);
}

function isNamed(schema: Schema, name: unknown): boolean {
  return name !== undefined && schema.properties?.name?.const === name;
}

function nameByDefault(schema: Schema): unknown {
  return (schema.default as Document | undefined)?.name;
}

/** Among objects that are told apart by `name`, that field offers the names of all. */
function withNames(schema: Schema, among: Schema[]): Schema {
  const names = among.map((one) => one.properties?.name?.const).filter((name) => name);
  if (!schema.properties?.name || names.length < 2) return schema;
  const name = { ...schema.properties.name, const: undefined, enum: names };
  return { ...schema, properties: { ...schema.properties, name } };
}

function fieldOf(schema: Schema, written: Schema, path: string): Field | null {
  const kinds = schema.anyOf ?? [schema];
  const types = new Set(kinds.map((kind) => kind.type));
  const choices = kinds.flatMap((kind) => kind.enum ?? []).map(String);
  const kind = kindOf(types, choices, kinds);
  if (!kind || schema.const !== undefined) return null;
  const fallback = written.default ?? schema.default;
  return {
    path,
    name: titleOf(path.split(".").at(-1) ?? path),
    kind,
    choices,
    description: written.description ?? schema.description ?? "",
    fallback: fallback === undefined || fallback === null ? "" : String(fallback),
    isInteger: types.has("integer"),
  };
}

function kindOf(types: Set<string | undefined>, choices: string[], kinds: Schema[]) {
  if (types.has("object") || types.has("array") || kinds.some((kind) => kind.properties)) {
    return null;
  }
  if (types.has("boolean")) return "switch";
  if (choices.length > 0) return "choice";
  // A number that may also be a word, such as auto, is written as text.
  if (types.has("string")) return "text";
  return types.has("number") || types.has("integer") ? "number" : null;
}

function usualFirst(fields: Field[]): Field[] {
  const place = ({ path }: Field) => {
    const found = USUAL.indexOf(path.split(".").at(-1) ?? "");
    return found < 0 ? USUAL.length : found;
  };
  return fields.toSorted((one, other) => place(one) - place(other));
}

function titleOf(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The value at a path such as `method.rank`, or undefined. */
export function at(document: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Document | null)?.[key], document);
}

/** The document with a value at a path. An undefined value removes the field. */
export function withValue(document: Document, path: string, value: unknown): Document {
  const [key = "", ...rest] = path.split(".");
  const copy = { ...document };
  const inner = copy[key];
  const next = rest.length
    ? withValue((inner && typeof inner === "object" ? inner : {}) as Document, rest.join("."), value)
    : value;
  if (next === undefined || (rest.length && Object.keys(next as Document).length === 0)) {
    delete copy[key];
  } else copy[key] = next;
  return copy;
}

/** What a person typed into a field, as the spec has it; undefined for nothing. */
export function valueOf(field: Field, text: string): unknown {
  if (text === "") return undefined;
  if (field.kind === "switch") return text === "true";
  const number = Number(text);
  const isNumber = text.trim() !== "" && Number.isFinite(number);
  if (field.kind === "number") return isNumber ? number : text;
  // A choice or a word may stand for true or for a number: `enabled: auto`, `micro_batch_size: 8`.
  if (field.isInteger && isNumber) return number;
  return text;
}
