/** The log of the trainer. It follows new lines until the reader scrolls up. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { ApiError, download, send } from "../api/client";
import type { Job } from "../api/types";
import { useLive } from "../live";
import { isFinal } from "../model/job";
import { Icon } from "../parts/icon";
import { Failed } from "../parts/notice";

const LINES = 2000;
const ASK_MILLISECONDS = 2000;

export function JobLog({ job }: { job: Job }) {
  const box = useRef<HTMLPreElement>(null);
  const [follows, setFollows] = useState(true);
  const log = useLive(
    async (signal) => {
      const response = await send(`v1/jobs/${job.id}/logs`, { query: { tail: LINES }, signal });
      return response.text();
    },
    { key: `${job.id} ${job.attempt}`, every: isFinal(job.status) ? 0 : ASK_MILLISECONDS },
  );
  useLayoutEffect(() => {
    if (follows && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [log.value, follows]);

  if (log.error && log.value === null) {
    const isEarly = log.error instanceof ApiError && log.error.status === 404;
    if (!isEarly) return <Failed what="The log" error={log.error} retry={log.refresh} />;
    return (
      <div class="notice">
        <h2>No log yet</h2>
        <p>It begins when a worker starts the trainer.</p>
      </div>
    );
  }
  const lines = (log.value ?? "").split("\n");
  return (
    <>
      <div class="toolbar">
        <span class="small">
          Attempt {job.attempt}, the last {LINES} lines
        </span>
        <span class="space" />
        {!follows && (
          <button class="button" onClick={() => setFollows(true)}>
            Follow new lines
          </button>
        )}
        <button
          class="button"
          onClick={() => download(`v1/jobs/${job.id}/logs`, `${job.id}.log`)}
        >
          <Icon name="down" />
          Whole log
        </button>
      </div>
      <pre
        ref={box}
        class="log"
        tabIndex={0}
        aria-label="Log"
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          setFollows(scrollHeight - scrollTop - clientHeight < 40);
        }}
      >
        {lines.map((line, index) => (
          <span key={index} class={/restart|merged/.test(line) ? "of-restart" : undefined}>
            {line}
            {"\n"}
          </span>
        ))}
      </pre>
    </>
  );
}
