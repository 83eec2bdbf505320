/** What can be done with a job. Each says first what it will do. */

import { useState } from "preact/hooks";

import { act, type Action } from "../api/job";
import { post } from "../api/client";
import type { Job } from "../api/types";
import { useCommands } from "../commands";
import { useKeys } from "../keys";
import { isFinal } from "../model/job";
import { Dialog } from "../parts/dialog";
import { Icon, type IconName } from "../parts/icon";
import { navigate } from "../router";

type Offered = Action | "fork" | "profile";

interface Words {
  verb: string;
  icon: IconName;
  danger?: boolean;
  says: (job: Job) => string[];
}

const WORDS: Record<Offered, Words> = {
  pause: {
    verb: "Pause",
    icon: "pause",
    says: (job) =>
      job.status === "queued"
        ? ["The job leaves the queue.", "Resume puts it back."]
        : [
            "The trainer finishes its step, saves a checkpoint and ends. Its GPUs are free then.",
            "Resume goes on from that step, with the same bits.",
          ],
  },
  cancel: {
    verb: "Cancel the job",
    icon: "stop",
    danger: true,
    says: (job) =>
      job.status === "queued" || job.status === "paused"
        ? ["The job ends now.", "A retry goes on from its newest checkpoint, if it has one."]
        : [
            "The trainer finishes its step, saves a checkpoint and ends.",
            "Its checkpoints, logs and curves stay. No merged model is exported.",
            "A retry goes on from that checkpoint.",
          ],
  },
  resume: {
    verb: "Resume",
    icon: "play",
    says: () => ["The job joins the queue and goes on from its newest checkpoint."],
  },
  retry: {
    verb: "Retry",
    icon: "retry",
    says: () => [
      "The job joins the queue again, under the same id.",
      "It goes on from its newest checkpoint; without one it starts from the beginning.",
    ],
  },
  profile: {
    verb: "Profile",
    icon: "search",
    says: () => [
      "The next 5 steps are traced: operators, kernels and memory. They are slower than others.",
      "The numbers of the run stay the same. The trace is under Files a moment later.",
    ],
  },
  fork: {
    verb: "Fork",
    icon: "fork",
    says: () => [
      "A new job with the same spec joins the queue and starts from the beginning.",
      "This job stays as it is.",
    ],
  },
  delete: {
    verb: "Delete",
    icon: "trash",
    danger: true,
    says: () => ["The job, its events, curves and logs are deleted. This cannot be undone."],
  },
};

function offered(job: Job): Offered[] {
  if (job.status === "paused") return ["resume", "fork", "cancel"];
  if (job.status === "running" && !job.requested_action) {
    return ["pause", "profile", "fork", "cancel"];
  }
  if (!isFinal(job.status)) return job.requested_action ? ["fork"] : ["pause", "fork", "cancel"];
  return job.status === "succeeded" ? ["fork", "delete"] : ["retry", "fork", "delete"];
}

export function JobActions({ job, refresh }: { job: Job; refresh: () => void }) {
  const [asked, setAsked] = useState<Offered | null>(null);
  const [withFiles, setWithFiles] = useState(false);
  const actions = offered(job);
  const pauseOrResume = actions.find((one) => one === "pause" || one === "resume");
  useCommands(
    actions.map((action) => ({
      title: WORDS[action].verb,
      hint: job.name || job.id,
      ...(action === pauseOrResume && { key: "P" }),
      run: () => setAsked(action),
    })),
  );
  useKeys({ p: () => pauseOrResume && setAsked(pauseOrResume) });

  async function carryOut(action: Offered): Promise<void> {
    if (action === "fork") navigate(`jobs/${(await post<Job>(`v1/jobs/${job.id}/fork`, {})).id}`);
    else if (action === "profile") await post(`v1/jobs/${job.id}/profile`, {});
    else {
      await act(job.id, action, withFiles);
      if (action === "delete") navigate("jobs");
      else refresh();
    }
  }

  return (
    <>
      {actions.map((action) => (
        <button class="button" key={action} onClick={() => setAsked(action)}>
          <Icon name={WORDS[action].icon} />
          {WORDS[action].verb.split(" ")[0]}
        </button>
      ))}
      {asked && (
        <Dialog
          title={`${WORDS[asked].verb.split(" ")[0]} ${job.name || job.id}?`}
          verb={WORDS[asked].verb}
          danger={WORDS[asked].danger ?? false}
          onClose={() => setAsked(null)}
          onConfirm={() => carryOut(asked)}
        >
          <ul>
            {WORDS[asked].says(job).map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
          {asked === "delete" && (
            <label class="toggle">
              <input
                type="checkbox"
                checked={withFiles}
                onChange={(event) => setWithFiles(event.currentTarget.checked)}
              />
              Delete its files in the storage too. Otherwise they stay, and nothing lists them.
            </label>
          )}
        </Dialog>
      )}
    </>
  );
}
