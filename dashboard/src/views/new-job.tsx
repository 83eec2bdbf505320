/** A new job: a form and YAML, which are two views of one spec, checked as one types. */

import { useEffect, useRef, useState } from "preact/hooks";
import { parse, stringify } from "yaml";

import { ApiError, post } from "../api/client";
import { getJob } from "../api/job";
import { described, estimate, type Estimated, recipes } from "../api/specs";
import type { Job } from "../api/types";
import { useLive } from "../live";
import { at, type Document, type Field, groupsOf, valueOf, withValue } from "../model/schema";
import { patchOf } from "../model/patch";
import { written } from "../model/yaml";
import { Failed, Loading } from "../parts/notice";
import { navigate, route } from "../router";
import { DroppedDataset } from "./dropped-dataset";
import { Estimate } from "./estimate";

const PAUSE_MILLISECONDS = 300; // after the last key
const OPEN = new Set(["", "model", "method", "training"]); // the groups of the usual fields
const WIDTH = 100; // of a line of YAML

interface Checked {
  estimated: Estimated | null;
  errors: { path: string; message: string }[];
}

/** The form of a spec: the first example's or, with `from` in the address, that of a job. */
export function NewJob() {
  document.title = "New job · relora";
  const from = route.value.query.get("from");
  const live = useLive(
    async (signal) => {
      const [api, known, job] = await Promise.all([
        described(),
        recipes(),
        from ? getJob(from, signal) : null,
      ]);
      const first = job ? (written(job.spec) as Document) : api.first;
      return { ...api, first, recipes: known.items, parent: job };
    },
    { key: `new ${from}` },
  );
  if (!live.value) {
    return (
      <div class="page">
        {live.error ? (
          <Failed what="The form" error={live.error} retry={live.refresh} />
        ) : (
          <Loading widths={[320, 280, 340]} />
        )}
      </div>
    );
  }
  return <Editor key={from} {...live.value} />;
}

type EditorProps = Awaited<ReturnType<typeof described>> & {
  recipes: { name: string }[];
  /** The job that is forked. */
  parent: Job | null;
};

/** A fork knows its parent; it is that job's spec with changes. */
function created(spec: Document, parent: Job | null): Promise<Job> {
  if (!parent) return post<Job>("v1/jobs", spec);
  const changes = { ...patchOf(parent.spec, spec), name: spec.name ?? null };
  return post<Job>(`v1/jobs/${parent.id}/fork`, { changes });
}

function Editor({ schemas, first, recipes: known, parent }: EditorProps) {
  const [spec, setSpec] = useState<Document>(first);
  const [text, setText] = useState(() => stringify(first, { lineWidth: WIDTH }));
  const [unread, setUnread] = useState("");
  const [refusal, setRefusal] = useState("");
  const checked = useChecked(spec);
  const latest = useRef(spec); // what it is when an upload ends
  latest.current = spec;

  function change(changed: Document): void {
    setSpec(changed);
    setText(stringify(changed, { lineWidth: WIDTH }));
    setUnread("");
  }

  function write(yaml: string): void {
    setText(yaml);
    try {
      const parsed: unknown = parse(yaml);
      if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) {
        throw new Error("A spec has fields, such as `model:` and `data:`.");
      }
      setSpec(parsed as Document);
      setUnread("");
    } catch (error) {
      setUnread((error as Error).message.split("\n")[0] ?? "");
    }
  }

  async function submit(): Promise<void> {
    try {
      navigate(`jobs/${(await created(spec, parent)).id}`);
    } catch (error) {
      setRefusal((error as Error).message);
    }
  }

  const errors = checked?.errors ?? [];
  const isWrong = unread !== "" || errors.length > 0;
  return (
    <div class="page new">
      <div class="page-head">
        <h1>{parent ? `Fork of ${parent.name || parent.id}` : "New job"}</h1>
        <span class={isWrong ? "small bad" : "small"} role="status">
          {verdict(checked, unread)}
        </span>
        <span class="space" />
        <button class="button primary" disabled={isWrong || !checked} onClick={submit}>
          Submit
        </button>
      </div>
      <p class="refusal" role="alert">
        {refusal}
      </p>
      <div class="halves">
        <form onSubmit={(event) => event.preventDefault()}>
          <DroppedDataset
            onReady={(uri) => change(withValue(latest.current, "data.train.uri", uri))}
          />
          <label class="row">
            <span>Recipe</span>
            <select
              value={String(spec.recipe ?? "")}
              onChange={(event) => {
                const recipe = event.currentTarget.value;
                change(recipe ? { name: recipe.replaceAll("_", "-"), recipe } : first);
              }}
            >
              <option value="">None</option>
              {known.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          {groupsOf(schemas, spec).map(({ name, title, fields }) => (
            <details key={name} open={OPEN.has(name)}>
              <summary>{title}</summary>
              {fields
                .filter(({ path }) => path !== "recipe")
                .map((field) => (
                  <Row
                    key={field.path}
                    field={field}
                    value={at(spec, field.path)}
                    wrong={errors.find(({ path }) => path === field.path)?.message ?? ""}
                    onChange={(value) => change(withValue(spec, field.path, value))}
                  />
                ))}
            </details>
          ))}
        </form>
        <div>
          <h2 class="section">YAML</h2>
          <textarea
            class={unread ? "mono yaml wrong" : "mono yaml"}
            aria-label="The spec as YAML"
            spellcheck={false}
            rows={22}
            value={text}
            onInput={(event) => write(event.currentTarget.value)}
          />
          <div role="alert">
            <ul class="problems">
              {unread && <li class="bad">{unread}</li>}
              {errors.map(({ path, message }) => (
                <li class="bad" key={path}>
                  <code>{path}</code> {message}
                </li>
              ))}
              {checked?.estimated?.warnings?.map(({ path, message }) => (
                <li key={path}>
                  <code>{path}</code> {message}
                </li>
              ))}
            </ul>
          </div>
          <Estimate estimated={checked?.estimated ?? null} />
        </div>
      </div>
    </div>
  );
}

function verdict(checked: Checked | null, unread: string): string {
  if (unread) return "The YAML cannot be read";
  if (!checked) return "Checking";
  const { errors } = checked;
  if (errors.length === 0) return "Would be accepted; nothing is queued yet";
  return errors.length === 1 ? "1 field is wrong" : `${errors.length} fields are wrong`;
}

/** The answer of the service to a spec, a moment after it changed. The last estimate stays. */
function useChecked(spec: Document): Checked | null {
  const [checked, setChecked] = useState<Checked | null>(null);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(async () => {
      const answer = await check(spec);
      if (current) setChecked((before) => ({ ...answer, estimated: answer.estimated ?? before?.estimated ?? null }));
    }, PAUSE_MILLISECONDS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [spec]);
  return checked;
}

async function check(spec: Document): Promise<Checked> {
  try {
    return { estimated: await estimate(spec), errors: [] };
  } catch (error) {
    const told = error instanceof ApiError ? (error.problem.errors ?? []) : [];
    const errors = told.length ? told : [{ path: "", message: (error as Error).message }];
    return { estimated: null, errors };
  }
}

interface RowProps {
  field: Field;
  value: unknown;
  wrong: string;
  onChange: (value: unknown) => void;
}

function Row({ field, value, wrong, onChange }: RowProps) {
  // While it is typed, a number such as 0.0 or 1e- is not yet what will be meant.
  const [typed, setTyped] = useState<string | null>(null);
  const text = value === undefined || value === null ? "" : String(value);
  const set = (typed: string) => onChange(valueOf(field, typed));
  const describedBy = wrong ? `wrong-${field.path}` : undefined;
  return (
    <label class="row" title={field.description}>
      <span>{field.name}</span>
      {field.kind === "choice" || field.kind === "switch" ? (
        <select
          value={text}
          name={field.path}
          aria-describedby={describedBy}
          onChange={(event) => set(event.currentTarget.value)}
        >
          <option value="">{field.fallback || "default"}</option>
          {(field.kind === "switch" ? ["true", "false"] : field.choices).map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <input
          class={wrong ? "mono wrong" : "mono"}
          name={field.path}
          inputMode={field.kind === "number" ? "decimal" : "text"}
          placeholder={field.fallback || "default"}
          value={typed ?? text}
          aria-invalid={wrong !== ""}
          aria-describedby={describedBy}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            set(event.currentTarget.value);
          }}
          onBlur={() => setTyped(null)}
        />
      )}
      {wrong && (
        <span class="bad small" id={describedBy}>
          {wrong}
        </span>
      )}
    </label>
  );
}
