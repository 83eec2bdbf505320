"""An event as a line for a person who watches a terminal or reads a log."""

from typing import assert_never

from relora_core.events import (
    AnyTrainEvent,
    CheckpointDeleted,
    CheckpointSaved,
    DataPrepared,
    Evaluated,
    Exported,
    LearningRateRestarted,
    Merged,
    OptimizerReset,
    PhaseStarted,
    Reinitialized,
    StepFinished,
    TrainFailed,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    Warned,
)


def narrate(event: AnyTrainEvent) -> str:  # noqa: C901 - one case an event
    match event:
        case DataPrepared():
            source = "from the cache" if event.reused else "packed"
            bad = f", {event.bad_rows} bad rows left out" if event.bad_rows else ""
            return (
                f"{event.split} data: {event.tokens:,} tokens in {event.documents:,} documents, "
                f"{source}{bad}"
            )
        case TrainStarted():
            return (
                f"{'resuming at' if event.step else 'starting:'} step {event.step} of "
                f"{event.total_steps}, {event.parameters:,} parameters, "
                f"{event.tokens_per_step:,} tokens a step, {event.world_size} x {event.device}"
            )
        case PhaseStarted():
            return (
                f"step {event.step}: {event.phase} with {event.trainable_parameters:,} trainable "
                f"and {event.frozen_parameters:,} frozen parameters"
            )
        case StepFinished():
            return (
                f"step {event.step}/{event.total_steps} {event.phase}: loss {event.loss:.4f}, "
                f"lr {event.learning_rate:.2e}, {event.tokens_per_second:,.0f} tokens/s"
            )
        case Merged():
            return (
                f"step {event.step}: restart {event.restart}: merged {event.layers} layers, "
                f"|update| {event.update_norm:.4g} into |W| {event.weight_norm:.4g}"
            )
        case Reinitialized():
            return f"step {event.step}: new factors, |A| {event.factors_norm:.4g}, B = 0"
        case OptimizerReset():
            return f"step {event.step}: optimizer reset ({event.mode}), kept {event.kept:.2%}"
        case LearningRateRestarted():
            return (
                f"step {event.step}: learning rate {event.learning_rate_before:.2e} -> "
                f"{event.learning_rate:.2e}, up to {event.learning_rate_target:.2e} "
                f"in {event.warmup_steps} steps"
            )
        case Evaluated():
            return (
                f"step {event.step}: validation loss {event.loss:.4f}, "
                f"perplexity {event.perplexity:.2f}"
            )
        case CheckpointSaved():
            return f"step {event.step}: checkpoint {event.path}, {event.bytes / 1e6:,.1f} MB"
        case CheckpointDeleted():
            return f"step {event.step}: older checkpoint deleted, {event.path}"
        case Exported():
            return f"step {event.step}: merged model in {event.path}"
        case Warned():
            return f"warning: {event.message}"
        case TrainFinished():
            return (
                f"finished: {event.step} steps, {event.tokens_seen:,} tokens, {event.restarts} "
                f"restarts in {event.seconds:,.0f} s; perplexity {event.perplexity:.2f}"
            )
        case TrainStopped():
            return f"stopped at step {event.step}; start again to go on"
        case TrainFailed():
            return f"failed ({event.code}): {event.message}"
        case _:
            assert_never(event)
