"""The interface of a tracker, and the description of the run it tracks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from jobs.schemas.trackers import TrackerSpec
from relora_core.workdir.files import REPORTS
from worker.trackers.points import ResumedAt, TrackedPoint

FAILURES = "trackers-failed.log"
Outcome = Literal["finished", "failed", "stopped"]


class Tracked(BaseModel):
    """A description of the tracked run, which the worker passes to the tracker process."""

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
        """The file of failures that users may see, one per line."""
        return self.workdir / FAILURES

    @property
    def reports(self) -> Path:
        """The folder of reports. Its files become artifacts of the job."""
        return self.workdir / REPORTS


class Tracker(Protocol):
    """An open run of a tracker.

    Every method may raise an error. After an error `draw` is called again with the same points.
    """

    def draw(self, news: Sequence[TrackedPoint | ResumedAt]) -> None: ...

    def finish(self, outcome: Outcome) -> None:
        """Close the run. If the outcome is `stopped`, another attempt may resume it."""
