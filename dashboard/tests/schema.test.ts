import { expect, test } from "vitest";

import { differences } from "../src/model/differences";
import { at, type Field, groupsOf, type Schemas, valueOf, withValue } from "../src/model/schema";

const SCHEMAS: Schemas = {
  JobSpec: {
    properties: {
      version: { type: "integer", const: 1 },
      name: { type: "string", default: "relora" },
      model: { oneOf: [{ $ref: "#/components/schemas/PresetModel" }] },
      method: {
        oneOf: [{ $ref: "#/components/schemas/Full" }, { $ref: "#/components/schemas/Relora" }],
        default: { name: "relora" },
      },
      training: { $ref: "#/components/schemas/Training" },
      labels: { type: "object" },
    },
  },
  PresetModel: { properties: { preset: { type: "string" } } },
  Full: { properties: { name: { type: "string", const: "full" } } },
  Relora: {
    properties: {
      name: { type: "string", const: "relora" },
      alpha: { type: "number", default: 32 },
      rank: { type: "integer", default: 128, description: "Of A and B." },
    },
  },
  Training: {
    properties: {
      compile: { type: "boolean", default: true },
      micro_batch_size: {
        anyOf: [{ type: "integer" }, { type: "string", const: "auto" }],
        default: "auto",
      },
      tokens: { anyOf: [{ type: "integer" }, { type: "null" }] },
    },
  },
};

const paths = (document: object) =>
  groupsOf(SCHEMAS, document as Record<string, unknown>).map(({ title, fields }) => [
    title,
    ...fields.map(({ path }) => path),
  ]);

test("each part of the spec is a group, and its usual fields come first", () => {
  expect(paths({})).toEqual([
    ["Job", "name"],
    ["Model", "model.preset"],
    ["Method", "method.name", "method.rank", "method.alpha"],
    ["Training", "training.compile", "training.micro_batch_size", "training.tokens"],
  ]);
});

test("the fields of a method are those of the method that is named", () => {
  expect(paths({ method: { name: "full" } })[2]).toEqual(["Method", "method.name"]);
});

test("a field offers the names of all methods, and says its default", () => {
  const fields = groupsOf(SCHEMAS, {}).flatMap((group) => group.fields);
  const field = (path: string) => fields.find((one) => one.path === path) as Field;
  expect(field("method.name")).toMatchObject({ kind: "choice", choices: ["full", "relora"] });
  expect(field("method.rank")).toMatchObject({ kind: "number", fallback: "128" });
  expect(field("training.compile").kind).toBe("switch");
  expect(valueOf(field("training.micro_batch_size"), "8")).toBe(8);
  expect(valueOf(field("training.micro_batch_size"), "auto")).toBe("auto");
  expect(valueOf(field("method.alpha"), "1e-3")).toBe(1e-3);
  expect(valueOf(field("method.rank"), "many")).toBe("many"); // the service says what is wrong
  expect(valueOf(field("method.rank"), "")).toBeUndefined();
  expect(valueOf(field("training.compile"), "false")).toBe(false);
});

test("a value is set at its path, and an empty part goes", () => {
  const spec = { method: { name: "relora" }, training: { steps: 4 } };
  const changed = withValue(spec, "method.rank", 8);
  expect(changed).toEqual({ method: { name: "relora", rank: 8 }, training: { steps: 4 } });
  expect(at(changed, "method.rank")).toBe(8);
  expect(spec.method).toEqual({ name: "relora" });
  expect(withValue(spec, "training.steps", undefined)).toEqual({ method: { name: "relora" } });
});

test("specs differ in the fields that one of them has otherwise or not at all", () => {
  const found = differences([
    { name: "a", method: { name: "relora", rank: 8 }, seed: 1 },
    { name: "b", method: { name: "lora", rank: 8, alpha: [1] }, seed: 1 },
  ]);
  expect(found).toEqual([
    { path: "method.name", values: ["relora", "lora"] },
    { path: "method.alpha", values: ["–", "[1]"] },
  ]);
});
