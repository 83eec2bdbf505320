/** The changes of jobs, as this tab gets them. */

import { effect, signal } from "@preact/signals";

import { address, keyWanted, session } from "../api/client";
import type { Message } from "./shared-worker";
import { type Change, type News, Source } from "./source";

/** Whether changes come by themselves. Otherwise the views ask again and again. */
export const isStreaming = signal(false);

type Listener = (change: Change) => void;
const listeners = new Set<Listener>();

/** Call `listener` with each change, until the function that is returned is called. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function hear(news: News): void {
  if ("open" in news) isStreaming.value = news.open;
  else for (const listener of listeners) listener(news);
}

/** Listen from now on, and not while it is unknown who is signed in. */
export function startStream(): void {
  const url = address("v1/events");
  const connect = "SharedWorker" in globalThis ? throughWorker(url) : inThisTab(url);
  effect(() => {
    const known = keyWanted.value === null && session.value !== null;
    connect(known, session.value?.key_id ?? null);
  });
}

type Connect = (wanted: boolean, keyId: string | null) => void;

function throughWorker(url: string): Connect {
  const worker = new SharedWorker(new URL("./shared-worker.ts", import.meta.url), {
    type: "module",
    name: "relora",
  });
  const send = (message: Message) => worker.port.postMessage(message);
  let join = () => {};
  worker.port.onmessage = ({ data }: MessageEvent<News>) => hear(data);
  addEventListener("pagehide", () => send({ leave: true }));
  addEventListener("pageshow", (event) => event.persisted && join());
  return (wanted, keyId) => {
    join = () => (wanted ? send({ url, keyId }) : send({ leave: true }));
    join();
    if (!wanted) isStreaming.value = false;
  };
}

function inThisTab(url: string): Connect {
  let source: Source | null = null;
  return (wanted) => {
    source?.stop();
    source = wanted ? new Source(url, hear) : null;
  };
}
