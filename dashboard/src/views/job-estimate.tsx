/** What the run was estimated to need, beside what was measured. */

import { type Estimated, estimate } from "../api/specs";
import type { Job } from "../api/types";
import { useLive } from "../live";
import { duration, exponent, memory, share, short, UNKNOWN } from "../model/format";
import { tookSeconds } from "../model/job";
import type { Document } from "../model/schema";
import { written } from "../model/yaml";
import { Failed, Loading } from "../parts/notice";

type Found = NonNullable<Estimated["estimate"]>;

interface Row {
  name: string;
  estimated: number;
  measured: number | null;
  format: (value: number | null) => string;
}

export function JobEstimate({ job }: { job: Job }) {
  const live = useLive(() => estimate(written(job.spec) as Document), { key: job.id });
  if (live.error) return <Failed what="The estimate" error={live.error} retry={live.refresh} />;
  if (!live.value) return <Loading widths={[420, 380]} />;
  const { estimate: found, not_estimated: why } = live.value;
  if (!found) {
    return (
      <div class="notice">
        <h2>This job has no estimate</h2>
        <p>{why}</p>
      </div>
    );
  }
  const { hardware } = found;
  return (
    <>
      <p class="toolbar note">
        The estimate is for {hardware.gpus} × {hardware.gpu.name} at{" "}
        {share(hardware.utilization, 0)} of its peak. Time and pace compare only on such hardware.
      </p>
      <table class="estimated">
        <thead>
          <tr>
            <th>Of the whole run</th>
            <th class="number">Estimate</th>
            <th class="number">Measured</th>
            <th class="number">Difference</th>
          </tr>
        </thead>
        <tbody>
          {rowsOf(job, found).map(({ name, estimated, measured, format }) => (
            <tr key={name}>
              <td>{name}</td>
              <td class="number note">{format(estimated)}</td>
              <td class="number">
                <b>{format(measured)}</b>
              </td>
              <td class="number">{difference(estimated, measured)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function rowsOf(job: Job, { run }: Found): Row[] {
  const { progress } = job;
  const isDone = job.status === "succeeded";
  return [
    {
      name: "Time",
      estimated: run.seconds,
      measured: isDone ? tookSeconds(job) : null,
      format: duration,
    },
    {
      name: "Pace, tokens/s",
      estimated: run.tokens / run.seconds,
      measured: progress.tokens_per_second ?? null,
      format: short,
    },
    {
      name: "Tokens",
      estimated: run.tokens,
      measured: isDone ? progress.tokens_seen : null,
      format: short,
    },
    {
      name: "Peak memory of a GPU",
      estimated: run.peak_bytes,
      measured: progress.peak_memory_bytes ?? null,
      format: memory,
    },
    {
      name: "FLOPs",
      estimated: run.executed_flops,
      measured: null,
      format: (value) => exponent(value, 2),
    },
  ];
}

function difference(estimated: number, measured: number | null): string {
  if (measured === null) return UNKNOWN;
  const ratio = measured / estimated - 1;
  return `${ratio < 0 ? "−" : "+"}${share(Math.abs(ratio))}`;
}
