/** The stream of the project's jobs from the server, connected again whenever it breaks off. */

import type { Deleted, JobState } from "../api/types";
import { backoff } from "../model/backoff";
import { sseParser } from "../model/sse";

/** A job that has changed, or that is gone. */
export type Change =
  | { kind: "job.changed"; job: JobState }
  | { kind: "job.deleted"; job: Deleted };

export type News = { open: boolean } | Change;

/** The server sends a comment every 15 seconds, so a connection without one is dead. */
const DEAD_AFTER_MILLISECONDS = 40_000;

export class Source {
  isOpen = false;
  private readonly stopped = new AbortController();
  private lastId = "";

  constructor(
    private readonly url: string,
    private readonly tell: (news: News) => void,
  ) {
    void this.run();
  }

  stop(): void {
    this.stopped.abort();
  }

  private async run(): Promise<void> {
    let failures = 0;
    while (!this.stopped.signal.aborted) {
      try {
        await this.listen(() => {
          failures = 0;
        });
      } catch {
        // Whatever it was, the next connection tells whether it is over.
      }
      this.setOpen(false);
      failures += 1;
      if (!this.stopped.signal.aborted) await sleep(backoff(failures));
    }
  }

  private async listen(onOpen: () => void): Promise<void> {
    const headers = new Headers({ Accept: "text/event-stream" });
    if (this.lastId) headers.set("Last-Event-ID", this.lastId);
    const ended = new AbortController();
    const end = () => ended.abort();
    this.stopped.signal.addEventListener("abort", end);
    let timer = setTimeout(end, DEAD_AFTER_MILLISECONDS);
    try {
      const response = await fetch(this.url, { headers, cache: "no-store", signal: ended.signal });
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      onOpen();
      this.setOpen(true);
      const parse = sseParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(end, DEAD_AFTER_MILLISECONDS);
        for (const { id, event, data } of parse(value)) {
          this.lastId = id || this.lastId;
          this.tell({ kind: event, job: JSON.parse(data) } as Change);
        }
      }
    } finally {
      clearTimeout(timer);
      this.stopped.signal.removeEventListener("abort", end);
    }
  }

  private setOpen(open: boolean): void {
    if (this.isOpen === open) return;
    this.isOpen = open;
    this.tell({ open });
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
