/** Workers and the queue: what runs where, who waits, and why. */

import { get } from "../api/client";
import type { Page, Queue, Worker } from "../api/types";
import { useLive, useNow } from "../live";
import { age, fullDate, memory, UNKNOWN, words } from "../model/format";
import { Failed, Loading } from "../parts/notice";
import { href } from "../router";

const ASK_MILLISECONDS = 2000;

export function Workers() {
  document.title = "Workers and queue · relora";
  const live = useLive(
    async (signal) => {
      const [workers, queue] = await Promise.all([
        get<Page<Worker>>("v1/workers", {}, signal),
        get<Queue>("v1/queue", { limit: 200 }, signal),
      ]);
      return { workers: workers.items, queue };
    },
    { key: "workers", every: ASK_MILLISECONDS },
  );
  return (
    <div class="page">
      <div class="page-head">
        <h1>Workers and queue</h1>
      </div>
      {live.value ? (
        <>
          <WorkerTable workers={live.value.workers} />
          <QueueTable queue={live.value.queue} />
        </>
      ) : live.error ? (
        <Failed what="The workers" error={live.error} retry={live.refresh} />
      ) : (
        <Loading widths={[320, 280, 300]} />
      )}
    </div>
  );
}

function WorkerTable({ workers }: { workers: Worker[] }) {
  const now = useNow();
  if (workers.length === 0) {
    return (
      <div class="notice">
        <h2>No worker has come yet</h2>
        <p>
          Jobs wait until one does. <code>relora up</code> starts one on this machine.
        </p>
      </div>
    );
  }
  return (
    <table>
      <thead>
        <tr>
          <th class="w-worker">Worker</th>
          <th class="w-status">Status</th>
          <th>GPUs</th>
          <th>Job</th>
          <th class="w-method">Version</th>
          <th class="w-eta number">Last heard</th>
        </tr>
      </thead>
      <tbody>
        {workers.map((worker) => (
          <tr key={worker.name}>
            <td class="mono cut" title={worker.host}>
              {worker.name}
            </td>
            <td class={worker.problem ? "bad" : undefined}>{words(worker.status)}</td>
            <td>
              <Gpus worker={worker} />
            </td>
            <td class="cut">
              <WorkOf worker={worker} />
            </td>
            <td class="mono">{worker.version}</td>
            <td class="number" title={fullDate(worker.last_heartbeat)}>
              {age(worker.last_heartbeat, now)} ago
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A square for each GPU: full while a job has it. */
function Gpus({ worker }: { worker: Worker }) {
  const [first] = worker.gpus;
  if (!first) return <span class="note">trains on the CPU</span>;
  return (
    <span class={`gpus ${worker.status} ${worker.job_id ? "ours" : ""}`}>
      {worker.gpus.map((_, index) => (
        <i key={index} />
      ))}
      <span class="small">
        {worker.gpus.length} × {first.name}, {memory(first.memory_bytes)}
        {worker.gpu_class && (
          <>
            , class <code>{worker.gpu_class}</code>
          </>
        )}
      </span>
    </span>
  );
}

function WorkOf({ worker }: { worker: Worker }) {
  if (worker.problem) return <span class="bad">{worker.problem}</span>;
  if (worker.job_id) {
    return (
      <a class="link mono" href={href(`jobs/${worker.job_id}`)} data-view="job">
        {worker.job_id}
      </a>
    );
  }
  return <span class="note">{worker.status === "busy" ? "another project's job" : UNKNOWN}</span>;
}

function QueueTable({ queue }: { queue: Queue }) {
  const now = useNow();
  return (
    <>
      <h2 class="section">Queue</h2>
      {queue.items.length === 0 ? (
        <p class="note">No job waits.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th class="w-method number">Place</th>
              <th>Job</th>
              <th class="w-score number">Priority</th>
              <th class="w-why">Why it waits</th>
              <th class="w-eta number">For</th>
            </tr>
          </thead>
          <tbody>
            {queue.items.map((one) => (
              <tr key={one.job_id}>
                <td class="number">{one.position}</td>
                <td class="cut">
                  <a class="name" href={href(`jobs/${one.job_id}`)} data-view="job">
                    {one.name}
                  </a>
                </td>
                <td class="number">{one.priority}</td>
                <td class={one.unschedulable_reason ? "bad" : "note"}>{whyItWaits(one)}</td>
                <td class="number" title={fullDate(one.created_at)}>
                  {age(one.created_at, now)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function whyItWaits(one: Queue["items"][number]): string {
  if (one.unschedulable_reason) return one.unschedulable_reason;
  if (one.waiting_for_quota) return "Its project has no room in its quotas now";
  return one.position === 1 ? "For the next worker that is free" : "For the jobs before it";
}
