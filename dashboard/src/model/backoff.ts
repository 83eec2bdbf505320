const FASTEST_RETRY = 1000;
const SLOWEST_RETRY = 15_000;

/** How long to wait after `failures` failures in a row, in milliseconds. */
export function backoff(failures: number): number {
  return Math.min(SLOWEST_RETRY, FASTEST_RETRY * 2 ** Math.max(0, failures - 1));
}
