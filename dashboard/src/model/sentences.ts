/** What an event says, in one line. */

import type { JobEvent } from "../api/types";
import { count, exponent, fileSize, fixed, memory, perplexity, share, short, words } from "./format";

const OF_EVERY_EVENT = new Set(["id", "attempt", "time", "type"]);

export function sentence(event: JobEvent): string {
  switch (event.type) {
    case "train.merge":
      return `Restart ${event.restart}: merged ${event.layers} layers, norm ${fixed(event.update_norm, 2)} into ${fixed(event.weight_norm, 1)}`;
    case "train.reinit":
      return `A drawn again, norm ${fixed(event.factors_norm, 2)}; B is zero`;
    case "train.optimizer_reset":
      return `${share(event.kept)} of the moments kept, by ${event.mode}`;
    case "train.lr_restart":
      return `Learning rate ${exponent(event.learning_rate_before)} → ${exponent(event.learning_rate)} → ${exponent(event.learning_rate_target)} in ${event.warmup_steps} steps`;
    case "train.restart_report":
      return `Restart ${event.restart} in hindsight: loss ${fixed(event.loss_before, 3)} → ${fixed(event.loss_after, 3)}, ${
        typeof event.steps_to_regain !== "number" ? "not regained" : `regained after ${count(event.steps_to_regain)} steps`
      }, ${short(event.tokens_lost)} ${event.unit} lost to the warm-up`;
    case "train.phase":
      return `${words(event.phase)}: ${count(event.trainable_parameters)} parameters are trained`;
    case "train.eval":
      return `Validation loss ${fixed(event.loss, 3)}, perplexity ${perplexity(event.perplexity)}`;
    case "train.eval_set":
      return `Validation loss ${fixed(event.loss, 3)} on ${event.set}`;
    case "train.checkpoint":
      return `Checkpoint ${event.path}, ${fileSize(event.bytes)}`;
    case "train.export":
      return `Merged model ${event.path}, ${fileSize(event.bytes)}`;
    case "train.spectrum":
      return `Rank of the update: effective ${fixed(event.effective_rank, 1)}, numerical ${fixed(event.numerical_rank, 1)}`;
    case "train.started":
      return `${count(event.parameters)} parameters on ${event.world_size} × ${event.device}, from step ${count(event.step)}`;
    case "train.finished":
      return `${count(event.step)} steps, ${count(event.restarts)} restarts, peak ${memory(event.peak_memory_bytes)}${
        event.stop_reason ? `; ended early: ${event.stop_reason}` : ""
      }`;
    case "train.warning":
    case "job.warning":
      return event.message;
    case "job.claimed":
      return `Claimed by ${event.worker}`;
    case "job.started":
      return event.resumed_from ? `Resumed from step ${count(event.resumed_from)}` : "Started";
    case "job.failed":
      return `${event.error.code}: ${event.error.message}`;
    case "job.retrying":
      return `Attempt ${event.next_attempt} follows: ${event.reason.message}`;
    default:
      return fieldsOf(event);
  }
}

/** The fields of an event for which there is no sentence. */
function fieldsOf(event: JobEvent): string {
  return Object.entries(event)
    .filter(([name, value]) => !OF_EVERY_EVENT.has(name) && value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");
}
