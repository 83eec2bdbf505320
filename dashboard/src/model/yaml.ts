/** Write a spec as YAML, and as the commands that submit it. */

type Value = unknown;

/** Leave out what is null or empty, which a spec says by its absence. */
export function written(value: Value): Value {
  if (Array.isArray(value)) return value.map(written);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value)
    .map(([key, one]) => [key, written(one)] as const)
    .filter(([, one]) => one !== null && one !== undefined && !isEmpty(one));
  return Object.fromEntries(entries);
}

function isEmpty(value: Value): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

export function toYaml(value: Value, indent = ""): string {
  if (Array.isArray(value)) return value.map((one) => item(one, indent)).join("");
  if (value !== null && typeof value === "object") {
    return Object.entries(value)
      .map(([key, one]) => `${indent}${scalar(key)}:${below(one, `${indent}  `)}`)
      .join("");
  }
  return `${indent}${scalar(value)}\n`;
}

function item(value: Value, indent: string): string {
  if (!isNested(value)) return `${indent}- ${scalar(value)}\n`;
  return `${indent}- ${toYaml(value, `${indent}  `).trimStart()}`;
}

function below(value: Value, indent: string): string {
  if (!isNested(value)) return ` ${isEmpty(value) ? JSON.stringify(value) : scalar(value)}\n`;
  return `\n${toYaml(value, indent)}`;
}

function isNested(value: Value): boolean {
  return value !== null && typeof value === "object" && !isEmpty(value);
}

const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./=-]*$/;
const WORDS_OF_YAML = /^(true|false|yes|no|on|off|null|y|n)$/i;

function scalar(value: Value): string {
  if (typeof value === "string" && PLAIN.test(value) && !WORDS_OF_YAML.test(value)) return value;
  // YAML 1.1 reads a number with an exponent only if it has a point.
  if (typeof value === "number") {
    const text = String(value);
    return /^-?\d+e/.test(text) ? text.replace("e", ".0e") : text;
  }
  return JSON.stringify(value);
}

export function asCurl(spec: Value, root: string): string {
  const body = JSON.stringify(spec, null, 2).replaceAll("'", "'\\''");
  return `curl ${root}v1/jobs -H 'Content-Type: application/json' -d '${body}'\n`;
}

export function asPython(spec: Value, root: string): string {
  return [
    "import json",
    "",
    "from service.client import Client",
    "",
    `spec = json.loads(r"""${JSON.stringify(spec, null, 2)}""")`,
    `with Client(${JSON.stringify(root.replace(/\/$/, ""))}) as client:`,
    "    print(client.jobs.create(spec).id)",
    "",
  ].join("\n");
}
