"""The progress of a run, computed from its events."""

import math
from collections.abc import Iterable

from jobs.schemas.job import Progress
from relora_core.events import (
    AnyTrainEvent,
    DataProgress,
    Evaluated,
    Merged,
    PhaseStarted,
    RestartReported,
    Rewound,
    SetEvaluated,
    StepFinished,
    TrainFinished,
    TrainStarted,
)

OF_THE_MACHINE = {
    "mfu",
    "hfu",
    "step_seconds",
    "data_wait_seconds",
    "memory_allocated_bytes",
    "memory_peak_bytes",
    "gpu_utilization",
    "gpu_temperature_celsius",
    "gpu_power_watts",
}


def advance(progress: Progress, events: Iterable[AnyTrainEvent]) -> Progress:
    """Return the progress after `events`, which must be in order.

    The step may go back when a run resumes or is rewound.
    """
    changes: dict[str, object] = {}
    losses = dict(progress.validation_losses)
    for event in events:
        if isinstance(event, SetEvaluated):
            losses[event.set] = _finite(event.loss)
            changes["validation_losses"] = losses
        changes |= _told_by(event)
    return progress.model_copy(update=changes)


def _told_by(event: AnyTrainEvent) -> dict[str, object]:
    match event:
        case DataProgress() | TrainStarted():
            return _told_before_the_first_step(event)
        case PhaseStarted():
            return {"phase": event.phase}
        case Rewound():
            return {"step": event.to_step}
        case StepFinished():
            return _told_by_step(event)
        case Merged() | RestartReported():
            return _told_of_a_restart(event)
        case Evaluated():
            return {
                "validation_perplexity": _finite(event.perplexity),
                "validation_accuracy": event.accuracy,
                "validation_step": event.step,
            }
        case TrainFinished():
            return {
                "step": event.step,
                "tokens_seen": event.tokens_seen,
                "restarts": event.restarts,
                "eta_seconds": 0.0,
                "stop_reason": event.stop_reason,
                "peak_memory_bytes": event.peak_memory_bytes,
            }
        case _:
            return {}


def _told_before_the_first_step(event: DataProgress | TrainStarted) -> dict[str, object]:
    if isinstance(event, DataProgress):
        return {"preparing": str(event)}
    told = {"step": event.step, "total_steps": event.total_steps}
    return {**told, "preparing": None, "stop_reason": None}


def _told_of_a_restart(event: Merged | RestartReported) -> dict[str, object]:
    if isinstance(event, RestartReported):
        return {"restart_report": event.report}
    return {"restarts": event.restart}


def _told_by_step(event: StepFinished) -> dict[str, object]:
    return {
        "phase": event.phase,
        "step": event.step,
        "total_steps": event.total_steps,
        "epoch": event.epoch,
        "sources": event.sources,
        "tokens_seen": event.tokens_seen,
        "loss": _finite(event.loss),
        "learning_rate": event.learning_rate,
        "factor_learning_rate": event.factor_learning_rate,
        "tokens_per_second": _finite(event.tokens_per_second),
        "restarts": event.restarts,
        "eta_seconds": _seconds_left(event),
        **event.model_dump(include=OF_THE_MACHINE),
    }


def _seconds_left(event: StepFinished) -> float | None:
    """Estimate the time left for training alone, at the throughput of the last steps."""
    if event.step == 0 or not event.tokens_per_second > 0:
        return None
    tokens_per_step = event.tokens_seen / event.step
    seconds = (event.total_steps - event.step) * tokens_per_step / event.tokens_per_second
    return _finite(seconds)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
