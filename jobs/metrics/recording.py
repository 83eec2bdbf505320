"""Recording of curves and markers from a trainer's events, under the lock of the job's row.

An attempt may resume from a checkpoint, and a run may be rewound to one. Then the points and
markers after the checkpoint are deleted, and the repeated steps replace them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, delete, insert, or_, select

from jobs.database.tables.metrics import curves, markers
from jobs.metrics.rollups import Point
from jobs.metrics.writing import cut, extend
from jobs.schemas.events import Lines
from jobs.schemas.metric_names import measured
from jobs.schemas.metrics import MarkerKind
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    LossSpiked,
    Merged,
    PhaseStarted,
    Rewound,
    TrainStarted,
)

# At step k these come after its checkpoint, so a run that resumes from there repeats them.
_BEFORE_THE_STEP = (MarkerKind.RESTART, MarkerKind.PHASE)


@dataclass
class _Stretch:
    """The points and markers of consecutive events without a resume or a rewind among them."""

    back_to: int | None = None  # the run went back to this step before these events
    points: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    markers: list[dict[str, object]] = field(default_factory=list)

    def note(self, number: int, event: AnyTrainEvent) -> None:
        if mark := _mark(event):
            kind, step = mark
            self.markers.append({"event": number, "step": step, "kind": kind})
        if told := measured(event):
            step, values = told
            for name, value in values.items():
                self.points[name].append(Point(step, value))


def record(
    connection: Connection,
    lines: Lines,
    *,
    job_id: str,
    first: int,
    attempt: int,
) -> None:
    """Add the points and markers of new events, which have the numbers `first`, `first + 1`, ..."""
    for stretch in _stretches([event for _, event in lines], first):
        if stretch.back_to is not None:
            _take_back(connection, job_id, stretch.back_to)
        if stretch.points:
            extend(connection, job_id, stretch.points)
        if stretch.markers:
            rows = [{"job_id": job_id, "attempt": attempt, **row} for row in stretch.markers]
            connection.execute(insert(markers), rows)


def _stretches(events: Sequence[AnyTrainEvent], first: int) -> Iterator[_Stretch]:
    stretch = _Stretch()
    for number, event in enumerate(events, first):
        if isinstance(event, TrainStarted | Rewound):
            yield stretch
            stretch = _Stretch(event.step if isinstance(event, TrainStarted) else event.to_step)
        stretch.note(number, event)
    yield stretch


def _mark(event: AnyTrainEvent) -> tuple[MarkerKind, int] | None:
    match event:
        case Merged(step=step):
            return MarkerKind.RESTART, step
        case PhaseStarted(step=step):
            return MarkerKind.PHASE, step
        case TrainStarted(step=step) if step:
            return MarkerKind.RESUME, step
        case Rewound(to_step=step):
            return MarkerKind.REWIND, step
        case LossSpiked(step=step):
            return MarkerKind.LOSS_SPIKE, step
        case CheckpointSaved(step=step):
            return MarkerKind.CHECKPOINT, step
        case _:
            return None


def _take_back(connection: Connection, job_id: str, step: int) -> None:
    """Delete the points and markers after the checkpoint of `step`."""
    repeated = and_(markers.c.step == step, markers.c.kind.in_(_BEFORE_THE_STEP))
    later = or_(markers.c.step > step, repeated)
    connection.execute(delete(markers).where(markers.c.job_id == job_id, later))
    query = select(curves).where(curves.c.job_id == job_id, curves.c.last_step > step)
    for curve in connection.execute(query).all():
        cut(connection, curve, step + 1)
