"""The results of a benchmark run, as JSON."""

from datetime import datetime

from benchmarks.api.results import Times
from benchmarks.machine import Machine
from benchmarks.results import FOLDER
from benchmarks.stored import Found, Stored

FILE = FOLDER / "dashboard.json"


class Load(Found):
    """The main thread of a page while the trainer reports."""

    reports: int
    seconds: float
    busy_share: float
    longest_task_milliseconds: float  # 0: none was of 50 ms or more


class DashboardResults(Stored):
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
