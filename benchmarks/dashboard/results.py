"""The results of a benchmark run, as JSON."""

from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks.api.results import Times
from benchmarks.machine import Machine
from benchmarks.results import FOLDER

FILE = FOLDER / "dashboard.json"


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True)


class Load(_Found):
    """The main thread of a page while the trainer reports."""

    reports: int
    seconds: float
    busy_share: float
    longest_task_milliseconds: float  # 0: none was of 50 ms or more


class DashboardResults(_Found):
    """Each list has one entry for each run."""

    machine: Machine
    measured_at: datetime
    seconds: float  # of the whole benchmark
    load_average_after: float  # over its last minute
    points: int  # stored for the job that is opened
    drawn_milliseconds: list[float]
    loads: list[Load]
    transferred_bytes: list[int]
    zoomed_points: int  # stored for the job that is zoomed
    zooms: list[Times]
    build_seconds: list[float]
    second_text_seconds: list[float]

    def write(self, file: Path = FILE) -> None:
        file.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, file: Path = FILE) -> Self:
        return cls.model_validate_json(file.read_text())
