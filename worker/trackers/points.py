"""What a tracker draws of a run's events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relora_core.events import (
    AnyTrainEvent,
    Evaluated,
    Merged,
    OptimizerReset,
    Rewound,
    SpectrumMeasured,
    StepFinished,
    TrainStarted,
)

_DRAWN = {
    StepFinished: (
        "train",
        ("loss", "learning_rate", "grad_norm", "tokens_seen", "tokens_per_second", "restarts"),
    ),
    Merged: ("restart", ("update_norm", "weight_norm", "residual_norm")),
    OptimizerReset: ("restart", ("kept",)),
    SpectrumMeasured: ("spectrum", ("effective_rank", "stable_rank", "numerical_rank")),
}


@dataclass(frozen=True)
class Point:
    """Values at a step, by the name of their curve."""

    step: int
    time: datetime
    values: Mapping[str, float]


@dataclass(frozen=True)
class ResumedAt:
    """The run goes on after `step`: what was drawn of later steps is drawn again."""

    step: int
    time: datetime


@dataclass
class AppendOnly:
    """For trackers that can only append: of each curve, the steps after the last one it has.

    What a resumed run repeats has the same values; after a rewind, the first ones stay.
    """

    drawn_until: dict[str, int] = field(default_factory=dict)

    def of(self, point: Point) -> dict[str, float]:
        new = {
            curve: value
            for curve, value in point.values.items()
            if point.step > self.drawn_until.get(curve, -1)
        }
        self.drawn_until |= dict.fromkeys(new, point.step)
        return new


def read(event: AnyTrainEvent) -> Point | ResumedAt | None:
    match event:
        case TrainStarted(step=step) if step > 0:
            return ResumedAt(step, event.time)
        case Rewound(to_step=step):
            return ResumedAt(step, event.time)
        case Evaluated():
            scores = {f"eval/{name}": value for name, value in event.scores.items()}
            return Point(event.step, event.time, scores)
        case StepFinished() | Merged() | OptimizerReset() | SpectrumMeasured():
            group, names = _DRAWN[type(event)]
            values = {f"{group}/{name}": float(getattr(event, name)) for name in names}
            return Point(event.step, event.time, values)
    return None
