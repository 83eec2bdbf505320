"""A run that is tracked over two attempts. The second attempt repeats some steps."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.schemas.trackers import TrackerSpec
from worker.trackers.points import ResumedAt, TrackedPoint
from worker.trackers.tracker import Tracked

NOW = datetime(2026, 11, 24, tzinfo=UTC)
News = Sequence[TrackedPoint | ResumedAt]


def points(*steps: int) -> list[TrackedPoint]:
    """Return the points of some steps. An exactly resumed run repeats the same values."""
    return [TrackedPoint(step, NOW, {"train/loss": 1 / step}) for step in steps]


FIRST: News = points(1, 2, 3, 4)
SECOND: News = [ResumedAt(2, NOW), *points(3, 4, 5)]
CURVE = {step: 1 / step for step in (1, 2, 3, 4, 5)}


@pytest.fixture
def tracked(tmp_path: Path) -> Callable[..., Tracked]:
    def make(*trackers: TrackerSpec, attempt: int = 1) -> Tracked:
        workdir = tmp_path / f"attempt-{attempt}"
        (workdir / "reports").mkdir(parents=True, exist_ok=True)
        return Tracked(
            job_id="job_1",
            name="tiny",
            attempt=attempt,
            labels={"team": "research"},
            spec={"name": "tiny", "method": {"name": "relora", "rank": 4}, "notes": []},
            trackers=trackers,
            workdir=workdir,
        )

    return make
