"""The table of all metrics, and the fields of the trainer's events that report them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from relora_core.events import (
    AnyTrainEvent,
    Evaluated,
    RestartReported,
    SetEvaluated,
    SourceRead,
    StepFinished,
)


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
# Of a source or of a validation set, which has a name of its own: epochs/web.
OF_SOURCES = (Metric("epochs", "epochs", "How often the source of a mixture was read by then."),)
METRICS = {
    metric.name: metric for metric in (*OF_STEPS, *OF_EVALUATIONS, *OF_RESTARTS, *OF_SOURCES)
}
OF_PARTS = tuple(metric.name for metric in (*OF_EVALUATIONS, *OF_SOURCES))


def is_known(curve: str) -> bool:
    """Return whether a curve can have this name. It may be of a part: validation_loss/web."""
    name, slash, part = curve.partition("/")
    return name in OF_PARTS and bool(part) if slash else name in METRICS


def description_of(curve: str) -> str:
    return METRICS[curve.partition("/")[0]].description


def in_order(curves: Iterable[str]) -> list[str]:
    """Sort names of curves as the table of metrics is, then by the part of the data."""
    order = list(METRICS)
    return sorted(curves, key=lambda curve: (order.index(curve.partition("/")[0]), curve))


def measured(event: AnyTrainEvent) -> tuple[int, dict[str, float | None]] | None:
    """Return the step and the values that the event reports, or None if it reports no metrics.

    A value that is not finite becomes None, because JSON has no such number. A chart has a gap
    there.
    """
    match event:
        case StepFinished():
            values = _values(event, OF_STEPS)
            for source in event.sources:
                values |= _values(source, OF_SOURCES, of=source.name)
            return event.step, values
        case Evaluated():
            return event.step, _values(event, OF_EVALUATIONS)
        case SetEvaluated():
            return event.step, _values(event, OF_EVALUATIONS, of=event.set)
        case RestartReported():
            return event.step, _values(event, OF_RESTARTS)
        case _:
            return None


def _values(
    event: AnyTrainEvent | SourceRead, metrics: tuple[Metric, ...], *, of: str | None = None
) -> dict[str, float | None]:
    part = f"/{of}" if of else ""
    told = {metric.name + part: getattr(event, metric.field) for metric in metrics}
    numbers = {name: _number(value) for name, value in told.items() if value is not None}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _number(value: float | datetime) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)
