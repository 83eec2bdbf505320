"""What a run found, as JSON."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks.machine import Machine
from benchmarks.results import FOLDER

FILE = FOLDER / "api.json"


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True)


class Times(_Found):
    """Of how many, in milliseconds: the percentiles and the longest."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        ordered = sorted(1000 * one for one in seconds)
        p50, p95, p99 = (_percentile(ordered, share) for share in (0.5, 0.95, 0.99))
        return cls(count=len(ordered), p50=p50, p95=p95, p99=p99, longest=round(ordered[-1], 2))


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest that at least this share of all do not exceed."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 2)


class MetricsRead(_Found):
    points: int  # stored
    times: Times


class JobPages(_Found):
    jobs: int  # stored
    times: Times


class SteadyRate(_Found):
    """Of requests that come at their moment, whether those before them are answered or not."""

    per_second: float
    seconds: float
    times: Times  # of those that were answered
    errors: int  # the others


class Listeners(_Found):
    listeners: int
    events: int
    times: Times  # from before an event is stored until one listener has it
    missed: int
    peak_megabytes: float  # of the server


class Archive(_Found):
    bytes: int
    seconds: float
    growth_megabytes: float  # of the server


class Imports(_Found):
    seconds: list[float]  # of each run
    torch: bool  # came with it


class ApiResults(_Found):
    machine: Machine
    measured_at: datetime
    seconds: float  # that the whole bench took
    load_average_after: float  # over its last minute
    imports: Imports
    metrics: MetricsRead
    job_pages: JobPages
    progress: SteadyRate
    listeners: Listeners
    archive: Archive

    def write(self, file: Path = FILE) -> None:
        file.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, file: Path = FILE) -> Self:
        return cls.model_validate_json(file.read_text())
