"""What each tracker is told, and what it does with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from jobs.schemas.trackers import TrackerSpec
from relora_core.workdir.files import REPORTS
from worker.trackers.points import Point, ResumedAt

FAILURES = "trackers-failed.log"
Outcome = Literal["finished", "failed", "stopped"]


class Tracked(BaseModel):
    """The run that is tracked, as the worker describes it to the process that does it."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    name: str
    attempt: int
    labels: dict[str, str]
    spec: dict[str, Any]
    trackers: tuple[TrackerSpec, ...]
    workdir: Path
    only_public_servers: bool = False

    @property
    def failures(self) -> Path:
        """What a person may know of what went wrong, a line for each failure."""
        return self.workdir / FAILURES

    @property
    def reports(self) -> Path:
        """What is written here becomes artifacts of the job."""
        return self.workdir / REPORTS


class Tracker(Protocol):
    """An open run. Every method may raise; `draw` is then called again with the same."""

    def draw(self, news: Sequence[Point | ResumedAt]) -> None: ...

    def finish(self, outcome: Outcome) -> None:
        """`stopped`: another attempt may go on with the run."""
