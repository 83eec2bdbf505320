/** Values that are asked for again and again while the page is seen. */

import { useEffect, useRef, useState } from "preact/hooks";

import { keyWanted } from "./api/client";

const FASTEST_RETRY = 1000;
const SLOWEST_RETRY = 15_000;

export interface Live<T> {
  value: T | null;
  error: Error | null;
  /** Ask now. */
  refresh: () => void;
}

/** How long to wait after `failures` failures in a row, in milliseconds. */
export function backoff(failures: number): number {
  return Math.min(SLOWEST_RETRY, FASTEST_RETRY * 2 ** Math.max(0, failures - 1));
}

/** Ask every `milliseconds`, at once when `key` changes, and not at all while the tab is hidden.
 *
 * A request that fails is repeated, later and later. The value of before stays.
 * With `milliseconds` of 0 it asks once. `waitAfter` may say another time for each answer.
 */
export function useLive<T>(
  ask: (signal: AbortSignal, before: T | null) => Promise<T>,
  milliseconds: number,
  key = "",
  waitAfter: (value: T) => number = () => milliseconds,
): Live<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: Error | null }>({
    key,
    value: null,
    error: null,
  });
  const latest = useRef(ask);
  latest.current = ask;
  const refresh = useRef(() => {});

  useEffect(() => {
    let timer = 0;
    let failures = 0;
    let value: T | null = null;
    const stop = new AbortController();

    async function run(): Promise<void> {
      clearTimeout(timer);
      let wait = milliseconds;
      try {
        value = await latest.current(stop.signal, value);
        failures = 0;
        wait = waitAfter(value);
        setState({ key, value, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        failures += 1;
        wait = backoff(failures);
        setState({ key, value, error: error as Error });
      }
      if (stop.signal.aborted || keyWanted.value !== null) return;
      if (wait && !document.hidden) timer = window.setTimeout(run, wait);
    }

    function onVisible(): void {
      clearTimeout(timer);
      if (!document.hidden && milliseconds) void run();
    }

    refresh.current = () => void run();
    document.addEventListener("visibilitychange", onVisible);
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [milliseconds, key]);

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
