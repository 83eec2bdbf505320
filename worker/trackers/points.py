"""The points that trackers draw, taken from the events of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relora_core.events import (
    AnyTrainEvent,
    Evaluated,
    Merged,
    OptimizerReset,
    RestartReported,
    Rewound,
    SetEvaluated,
    SpectrumMeasured,
    StepFinished,
    TrainStarted,
)

_DRAWN = {
    StepFinished: (
        "train",
        (
            "loss",
            "learning_rate",
            "factor_learning_rate",
            "grad_norm",
            "tokens_seen",
            "tokens_per_second",
            "mfu",
            "hfu",
            "step_seconds",
            "data_wait_seconds",
            "memory_allocated_bytes",
            "memory_peak_bytes",
            "gpu_utilization",
            "gpu_temperature_celsius",
            "gpu_power_watts",
            "restarts",
        ),
    ),
    Merged: ("restart", ("update_norm", "weight_norm", "residual_norm")),
    OptimizerReset: ("restart", ("kept",)),
    RestartReported: (
        "restart",
        (
            "loss_before",
            "loss_after",
            "loss_at_end",
            "steps_to_regain",
            "tokens_lost",
            "validation_loss_before",
            "validation_loss_after",
            "validation_loss_at_end",
            "rank_gained",
            "angle",
            "overlap",
            "overlap_by_chance",
        ),
    ),
    SpectrumMeasured: (
        "spectrum",
        (
            "effective_rank",
            "stable_rank",
            "numerical_rank",
            "condition_number",
            "weight_effective_rank",
            "weight_condition_number",
        ),
    ),
}


@dataclass(frozen=True)
class TrackedPoint:
    """Values at a step, by the names of their curves."""

    step: int
    time: datetime
    values: Mapping[str, float]


@dataclass(frozen=True)
class ResumedAt:
    """The run resumes after `step`. The points of later steps are drawn again."""

    step: int
    time: datetime


@dataclass
class AppendOnly:
    """A filter for trackers that can only append: it drops steps that a curve already has.

    The steps that a resumed run repeats have the same values. After a rewind, the curve keeps the
    first values.
    """

    drawn_until: dict[str, int] = field(default_factory=dict)

    def of(self, point: TrackedPoint) -> dict[str, float]:
        new = {
            curve: value
            for curve, value in point.values.items()
            if point.step > self.drawn_until.get(curve, -1)
        }
        self.drawn_until |= dict.fromkeys(new, point.step)
        return new


def read(event: AnyTrainEvent) -> TrackedPoint | ResumedAt | None:
    match event:
        case TrainStarted(step=step) if step > 0:
            return ResumedAt(step, event.time)
        case Rewound(to_step=step):
            return ResumedAt(step, event.time)
        case Evaluated():
            scores = {f"eval/{name}": value for name, value in event.scores.items()}
            return TrackedPoint(event.step, event.time, scores)
        case SetEvaluated():
            scores = {f"eval_{event.set}/{name}": value for name, value in event.scores.items()}
            return TrackedPoint(event.step, event.time, scores)
        case StepFinished() | Merged() | OptimizerReset() | RestartReported() | SpectrumMeasured():
            group, names = _DRAWN[type(event)]
            told = {f"{group}/{name}": getattr(event, name) for name in names}
            values = {curve: float(value) for curve, value in told.items() if value is not None}
            if isinstance(event, StepFinished):
                values |= {f"epochs/{source.name}": source.epochs for source in event.sources}
            return TrackedPoint(event.step, event.time, values)
    return None
