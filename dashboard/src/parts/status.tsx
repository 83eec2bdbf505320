/** The status of a job: a shape and a word, so that nobody has to tell colours apart. */

import type { ComponentChildren } from "preact";

import type { JobStatus } from "../api/types";
import { words } from "../model/format";

export function Status({ status, done = 0 }: { status: JobStatus; done?: number }) {
  return (
    <span class={`status ${status}`}>
      <svg viewBox="0 0 14 14" aria-hidden="true">
        {shape(status, done)}
      </svg>
      {words(status)}
    </span>
  );
}

function shape(status: JobStatus, done: number): ComponentChildren {
  switch (status) {
    case "queued":
      return <circle class="line dashed" cx="7" cy="7" r="5.5" />;
    case "starting":
      return (
        <>
          <circle class="line faint" cx="7" cy="7" r="5.5" />
          <path class="line" d="M7 1.500A5.500 5.500 0 0 1 12.500 7" />
        </>
      );
    case "running":
      return (
        <>
          <circle class="line" cx="7" cy="7" r="5.75" />
          <path class="fill" d={slice(done)} />
        </>
      );
    case "paused":
      return (
        <>
          <circle class="line" cx="7" cy="7" r="5.75" />
          <path class="line" d="M5.500 5v4m3-4v4" />
        </>
      );
    case "succeeded":
      return (
        <>
          <circle class="fill" cx="7" cy="7" r="6.5" />
          <path class="cut" d="m4.300 7.200 1.900 1.900 3.500-4" />
        </>
      );
    case "failed":
      return (
        <>
          <circle class="fill" cx="7" cy="7" r="6.5" />
          <path class="cut" d="m4.900 4.900 4.200 4.200m0-4.200L4.900 9.100" />
        </>
      );
    case "cancelled":
      return (
        <>
          <circle class="line" cx="7" cy="7" r="5.75" />
          <path class="line" d="m3.200 10.800 7.600-7.600" />
        </>
      );
  }
}

/** A slice of a circle, from the top, as large as what is done. */
function slice(done: number): string {
  const angle = 2 * Math.PI * Math.min(0.999, Math.max(0.02, done));
  const x = 7 + 4 * Math.sin(angle);
  const y = 7 - 4 * Math.cos(angle);
  return `M7 7V3A4 4 0 ${angle > Math.PI ? 1 : 0} 1 ${x.toFixed(2)} ${y.toFixed(2)}Z`;
}
