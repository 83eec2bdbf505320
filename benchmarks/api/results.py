"""The results of a benchmark run, as JSON."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from benchmarks.machine import Machine
from benchmarks.results import FOLDER
from benchmarks.stored import Found, Stored

FILE = FOLDER / "api.json"


class Times(Found):
    """The number of times, their percentiles and their maximum, in milliseconds."""

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
    """Return the smallest value that at least this share of all values do not exceed."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 2)


class MetricsRead(Found):
    points: int  # stored
    times: Times


class JobPages(Found):
    jobs: int  # stored
    times: Times


class SteadyRate(Found):
    """Requests at a fixed rate, sent whether earlier ones are answered or not."""

    per_second: float
    seconds: float
    times: Times  # of the answered requests
    errors: int  # the requests without an answer


class Listeners(Found):
    listeners: int
    events: int
    times: Times  # from before an event is stored until one listener has it
    missed: int
    peak_megabytes: float  # of the server


class Archive(Found):
    bytes: int
    seconds: float
    growth_megabytes: float  # of the server


class Imports(Found):
    seconds: list[float]  # of each run
    torch: bool  # whether the import loaded torch


class ApiResults(Stored):
    machine: Machine
    measured_at: datetime
    seconds: float  # of the whole benchmark
    load_average_after: float  # over its last minute
    imports: Imports
    metrics: MetricsRead
    job_pages: JobPages
    progress: SteadyRate
    listeners: Listeners
    archive: Archive
