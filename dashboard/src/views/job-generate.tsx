/** Text from a checkpoint of the job, as it comes. */

import { useEffect, useRef, useState } from "preact/hooks";

import { checkpoints } from "../api/job";
import { followText, generated, type Generation, startText } from "../api/generations";
import type { Checkpoint, Job } from "../api/types";
import { useLive } from "../live";
import { clock, count, fixed, fullDate, perplexity } from "../model/format";
import { isFinal, perplexityAt } from "../model/job";
import { Copy } from "../parts/copy";
import { Icon } from "../parts/icon";
import { Failed, Loading } from "../parts/notice";
import { route, setQuery } from "../router";

const ASK_MILLISECONDS = 5000;
const SETTINGS = [
  { name: "max_new_tokens", title: "New tokens", value: 64, min: 1, max: 2048, step: 1 },
  { name: "temperature", title: "Temperature", value: 0.8, min: 0, max: 5, step: 0.05 },
  { name: "top_p", title: "Top p", value: 0.95, min: 0.01, max: 1, step: 0.01 },
  { name: "seed", title: "Seed", value: 0, min: 0, max: 2 ** 32 - 1, step: 1 },
] as const;

type Settings = Record<(typeof SETTINGS)[number]["name"], number>;

const USUAL = Object.fromEntries(SETTINGS.map(({ name, value }) => [name, value])) as Settings;

export function JobGenerate({ job }: { job: Job }) {
  const live = useLive(
    async (signal) => {
      const [saved, earlier] = await Promise.all([
        checkpoints(job.id, signal),
        generated(job.id, signal),
      ]);
      return { saved: newestFirst(saved), earlier };
    },
    { key: job.id, every: isFinal(job.status) ? 0 : ASK_MILLISECONDS },
  );
  if (!live.value) {
    if (live.error) return <Failed what="The checkpoints" error={live.error} retry={live.refresh} />;
    return <Loading widths={[320, 280]} />;
  }
  const { saved, earlier } = live.value;
  if (saved.length === 0) {
    return (
      <div class="notice">
        <h2>No checkpoint yet</h2>
        <p>Text can be generated as soon as the job has saved its first one, also while it trains.</p>
      </div>
    );
  }
  return <Studio job={job} saved={saved} earlier={earlier} refresh={live.refresh} />;
}

/** One for each step: where a step has both, its merged model and its checkpoint are the same. */
function newestFirst(saved: Checkpoint[]): Checkpoint[] {
  const bySteps = new Map<number, Checkpoint>();
  for (const one of saved) if (one.merged || !bySteps.has(one.step)) bySteps.set(one.step, one);
  return [...bySteps.values()].sort((one, other) => other.step - one.step);
}

interface StudioProps {
  job: Job;
  saved: Checkpoint[];
  earlier: Generation[];
  refresh: () => void;
}

function Studio({ job, saved, earlier, refresh }: StudioProps) {
  const { query } = route.value;
  const [prompt, setPrompt] = useState(query.get("prompt") ?? "In the beginning");
  const [settings, setSettings] = useState(USUAL);
  const [shown, setShown] = useState<Generation | null>(null);
  const [refusal, setRefusal] = useState("");
  const [isStopped, setStopped] = useState(false);
  const step = Number(query.get("step") ?? saved[0]?.step);
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const writes = shown !== null && shown.finished_at === null && !isStopped;

  /** Show a text, and follow it as far as it still comes. */
  async function show(ask: () => Promise<Generation>): Promise<void> {
    stop.current.abort();
    stop.current = new AbortController();
    const { signal } = stop.current;
    setRefusal("");
    setStopped(false);
    try {
      const asked = await ask();
      setShown(asked);
      if (asked.finished_at !== null) return;
      await followText(asked, setShown, signal);
      refresh();
    } catch (error) {
      if (!signal.aborted) setRefusal((error as Error).message);
    }
  }

  const generate = () => show(() => startText(job.id, { prompt, ...settings, step }));

  return (
    <div class="studio">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void generate();
        }}
      >
        <label class="above">
          Prompt
          <textarea
            rows={4}
            value={prompt}
            onInput={(event) => setPrompt(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) void generate();
            }}
          />
        </label>
        <Checkpoints saved={saved} step={step} />
        <div class="settings">
          {SETTINGS.map(({ name, title, value: _, ...bounds }) => (
            <label class="above" key={name}>
              {title}
              <input
                class="number"
                type="number"
                required
                {...bounds}
                value={settings[name]}
                onInput={(event) =>
                  setSettings({ ...settings, [name]: event.currentTarget.valueAsNumber })
                }
              />
            </label>
          ))}
        </div>
        <div class="acts">
          <button class="button primary large" disabled={writes}>
            Generate <kbd>Ctrl ↵</kbd>
          </button>
          {writes && (
            <button
              class="button large"
              type="button"
              onClick={() => {
                stop.current.abort();
                setStopped(true);
              }}
            >
              <Icon name="stop" />
              Stop
            </button>
          )}
        </div>
        <p class="refusal" role="alert">
          {refusal}
        </p>
      </form>
      <div>
        {shown ? <Text generation={shown} isStopped={isStopped} /> : <p class="note">The text appears here as it comes.</p>}
        <Earlier
          texts={earlier.filter(({ id }) => id !== shown?.id || isStopped)}
          onShow={(text) => void show(async () => text)}
        />
      </div>
    </div>
  );
}

function Checkpoints({ saved, step }: { saved: Checkpoint[]; step: number }) {
  return (
    <fieldset class="checkpoints">
      <legend>Checkpoint</legend>
      {saved.map((one) => (
        <label key={one.step}>
          <input
            type="radio"
            name="step"
            checked={one.step === step}
            onChange={() => setQuery({ step: String(one.step) })}
          />
          step <b class="mono">{count(one.step)}</b>
          <span class="small">{one.merged ? "merged" : "merged when first asked"}</span>
          <span class="space" />
          <span class="mono">{perplexity(perplexityAt(one))}</span>
        </label>
      ))}
      <p class="small">validation perplexity</p>
    </fieldset>
  );
}

function Text({ generation, isStopped }: { generation: Generation; isStopped: boolean }) {
  const { request, text, error, result, step } = generation;
  const seconds = generation.finished_at
    ? (Date.parse(generation.finished_at) - Date.parse(generation.created_at)) / 1000
    : null;
  return (
    <section aria-label="Generated text">
      <div class="toolbar">
        <b>
          step <span class="mono">{count(step)}</span>
        </b>
        <span class="small" role="status">
          {result
            ? `${count(result.new_tokens)} tokens in ${fixed(seconds, 1)} s${
                result.finish_reason === "end_of_text" ? ", ended by the model" : ""
              }`
            : error
              ? "failed"
              : isStopped
                ? "no longer followed; the generator ends it, then it is below"
                : text
                  ? "writes"
                  : "waits for the generator and its model"}
        </span>
        <span class="space" />
        <Copy text={() => request.prompt + text} label="Copy the text" />
      </div>
      {error ? (
        <p class="bad" role="alert">
          {error.code}: {error.message}
        </p>
      ) : (
        <p class="text" aria-live="polite" aria-busy={!result && !isStopped}>
          <span class="prompt">{request.prompt}</span>
          {text}
          {!result && !isStopped && <i class="caret" />}
        </p>
      )}
    </section>
  );
}

interface EarlierProps {
  texts: Generation[];
  onShow: (text: Generation) => void;
}

function Earlier({ texts, onShow }: EarlierProps) {
  if (texts.length === 0) return null;
  return (
    <>
      <h2 class="section">
        Earlier <span class="small">The same seed gives the same text</span>
      </h2>
      <table class="dense">
        <thead>
          <tr>
            <th class="w-step number">Step</th>
            <th>Text</th>
            <th class="w-score number">Tokens</th>
            <th class="w-clock number">Time</th>
          </tr>
        </thead>
        <tbody>
          {texts.map((one) => (
            <tr key={one.id}>
              <td class="number">{count(one.step)}</td>
              <td class="cut">
                <button class="link" onClick={() => onShow(one)}>
                  <span class="prompt">{one.request.prompt}</span>
                  {one.error ? ` (${one.error.code})` : one.text}
                </button>
              </td>
              <td class="number">{count(one.result?.new_tokens)}</td>
              <td class="mono number" title={fullDate(one.created_at)}>
                {clock(one.created_at)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
