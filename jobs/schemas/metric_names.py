"""The table of all metrics, and the fields of the trainer's events that report them."""

import math
from dataclasses import dataclass
from datetime import datetime

from relora_core.events import AnyTrainEvent, Evaluated, RestartReported, StepFinished


@dataclass(frozen=True)
class Metric:
    name: str
    field: str  # the field of the event that reports the metric
    description: str


OF_STEPS = (
    Metric("loss", "loss", "Training loss; the mean over the steps since the point before."),
    Metric("learning_rate", "learning_rate", "Of the step that was just taken."),
    Metric(
        "factor_learning_rate",
        "factor_learning_rate",
        "Of A and B in that step, if they have their own; the highest of all layers.",
    ),
    Metric("grad_norm", "grad_norm", "Norm of the gradients, before they are clipped."),
    Metric("tokens_seen", "tokens_seen", "Tokens trained on so far; images, of a classifier."),
    Metric("tokens_per_second", "tokens_per_second", "The pace; images, of a classifier."),
    Metric("mfu", "mfu", "Model FLOPs utilization: full-rank arithmetic over the GPUs' peak."),
    Metric("hfu", "hfu", "Hardware FLOPs utilization: executed arithmetic over that peak."),
    Metric("step_seconds", "step_seconds", "Mean time of a step, without the compiler's."),
    Metric("data_wait_seconds", "data_wait_seconds", "How much of it a step waits for its data."),
    Metric(
        "memory_allocated_bytes",
        "memory_allocated_bytes",
        "Of tensors on a GPU; of the process, on a CPU.",
    ),
    Metric("memory_peak_bytes", "memory_peak_bytes", "The highest of that so far."),
    Metric("gpu_utilization", "gpu_utilization", "Share of time in which a kernel ran, 0 to 1."),
    Metric("gpu_temperature_celsius", "gpu_temperature_celsius", "Of the GPU."),
    Metric("gpu_power_watts", "gpu_power_watts", "What the GPU draws."),
    Metric("time", "time", "When it was reported: seconds since 1970, UTC."),
)
OF_EVALUATIONS = (
    Metric("validation_loss", "loss", "Loss on the validation split."),
    Metric("validation_perplexity", "perplexity", "Of language models: exp(validation loss)."),
    Metric("validation_accuracy", "accuracy", "Of classifiers: the right label is the likeliest."),
    Metric("validation_top5_accuracy", "top5_accuracy", "Of classifiers: it is among the first 5."),
)
# Each point is at the step at which the cycle of a restart ended.
OF_RESTARTS = (
    Metric("restart_loss_before", "loss_before", "Training loss right before the restart."),
    Metric("restart_loss_after", "loss_after", "Training loss right after it."),
    Metric("restart_loss_at_end", "loss_at_end", "Training loss at the end of its cycle."),
    Metric("restart_steps_to_regain", "steps_to_regain", "Steps until the old loss is regained."),
    Metric("restart_tokens_lost", "tokens_lost", "Tokens that its warm-up lost; or images."),
    Metric("restart_rank_gained", "rank_gained", "Effective rank that its cycle added."),
    Metric("restart_angle", "angle", "Degrees between its cycle's directions and the earlier."),
    Metric("restart_overlap", "overlap", "Share of its cycle's update in the earlier directions."),
)
METRICS = {metric.name: metric for metric in (*OF_STEPS, *OF_EVALUATIONS, *OF_RESTARTS)}


def measured(event: AnyTrainEvent) -> tuple[int, dict[str, float | None]] | None:
    """Return the step and the values that the event reports, or None if it reports no metrics.

    A value that is not finite becomes None, because JSON has no such number. A chart has a gap
    there.
    """
    match event:
        case StepFinished():
            return event.step, _values(event, OF_STEPS)
        case Evaluated():
            return event.step, _values(event, OF_EVALUATIONS)
        case RestartReported():
            return event.step, _values(event, OF_RESTARTS)
        case _:
            return None


def _values(event: AnyTrainEvent, metrics: tuple[Metric, ...]) -> dict[str, float | None]:
    told = {metric.name: getattr(event, metric.field) for metric in metrics}
    numbers = {name: _number(value) for name, value in told.items() if value is not None}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _number(value: float | datetime) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)
