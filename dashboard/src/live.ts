/** Values that are asked for again whenever they may have changed. */

import { effect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { keyWanted } from "./api/client";
import { backoff } from "./model/backoff";
import { isStreaming, onChange } from "./stream/changes";
import type { Change } from "./stream/source";

/** Values in place change at most twice a second. */
const BETWEEN_CHANGES_MILLISECONDS = 500;
/** What the stream does not tell, such as places in the queue, is asked for now and then. */
const WHILE_STREAMING_MILLISECONDS = 15_000;

export interface Live<T> {
  value: T | null;
  error: Error | null;
  /** Ask now. */
  refresh: () => void;
}

interface Options<T> {
  /** Another value is asked for when the key changes. */
  key: string;
  /** The time between two questions; 0: ask once. */
  every?: number;
  /** The time after this answer, where it is not always the same. */
  after?: (value: T) => number;
  /** Which changes of jobs matter. Then the question is asked on each, and else only rarely. */
  on?: (change: Change) => boolean;
}

/** Ask at once when the key changes, then again and again, and not while the tab is hidden.
 *
 * A request that fails is repeated, later and later. The value of before stays.
 */
export function useLive<T>(
  ask: (signal: AbortSignal, before: T | null) => Promise<T>,
  options: Options<T>,
): Live<T> {
  const { key, every = 0 } = options;
  const [state, setState] = useState<{ key: string; value: T | null; error: Error | null }>({
    key,
    value: null,
    error: null,
  });
  const latest = useRef({ ask, options });
  latest.current = { ask, options };
  const refresh = useRef(() => {});

  // In the layout phase, so that the question leaves before the browser paints what it has.
  useLayoutEffect(() => {
    let timer = 0;
    let failures = 0;
    let value: T | null = null;
    let asking = false;
    let stale = false; // something changed since the question was sent
    let askedAt = 0;
    const stop = new AbortController();

    async function run(): Promise<void> {
      clearTimeout(timer);
      stale = asking;
      if (asking) return;
      asking = true;
      askedAt = performance.now();
      let wait: number;
      try {
        value = await latest.current.ask(stop.signal, value);
        failures = 0;
        wait = waitAfter(value);
        setState({ key, value, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        failures += 1;
        wait = backoff(failures);
        setState({ key, value, error: error as Error });
      } finally {
        asking = false;
      }
      if (stop.signal.aborted || keyWanted.value !== null) return;
      if (stale && failures === 0) soon();
      else if (wait && !document.hidden) timer = window.setTimeout(run, wait);
    }

    function waitAfter(told: T): number {
      const { every: usual = 0, after, on } = latest.current.options;
      if (on && isStreaming.peek()) return WHILE_STREAMING_MILLISECONDS;
      return after ? after(told) : usual;
    }

    function soon(): void {
      stale = true;
      if (asking || document.hidden) return;
      clearTimeout(timer);
      const wait = askedAt + BETWEEN_CHANGES_MILLISECONDS - performance.now();
      timer = window.setTimeout(run, Math.max(0, wait));
    }

    function onVisible(): void {
      clearTimeout(timer);
      if (!document.hidden && (every || stale)) void run();
    }

    refresh.current = () => void run();
    document.addEventListener("visibilitychange", onVisible);
    void run();
    const stopHearing = onChange((change) => latest.current.options.on?.(change) && soon());
    // Between the first answer and the stream something may have changed.
    let wasStreaming = isStreaming.peek();
    const stopStreaming = effect(() => {
      if (isStreaming.value !== wasStreaming && latest.current.options.on) soon();
      wasStreaming = isStreaming.value;
    });
    return () => {
      stop.abort();
      clearTimeout(timer);
      stopHearing();
      stopStreaming();
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [every, key]);

  const current = state.key === key;
  return {
    value: current ? state.value : null,
    error: current ? state.error : null,
    refresh: () => refresh.current(),
  };
}

/** The time, every five seconds, for ages. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 5000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
