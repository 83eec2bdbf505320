"""The metrics for Prometheus: the current jobs in the store, and HTTP latency."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.store.stats import JobStats, LeasedJob, ServiceStats

NO_ROUTE = "none"  # the label of all requests for paths that do not exist
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# For jobs leased by workers: the name after relora_job_, the field of the progress, the help text.
OF_PROGRESS = (
    ("step", "step", "Steps that are done."),
    ("loss", "loss", "Training loss of the last report."),
    ("learning_rate", "learning_rate", "Of the last report."),
    (
        "factor_learning_rate",
        "factor_learning_rate",
        "Of A and B at the last report, if they have their own.",
    ),
    ("tokens_per_second", "tokens_per_second", "Of the last report; images, of a classifier."),
    ("mfu", "mfu", "Model FLOPs utilization at the last report, 0 to 1."),
    ("hfu", "hfu", "Hardware FLOPs utilization at the last report, 0 to 1."),
    ("step_seconds", "step_seconds", "Mean time of a step at the last report."),
    ("data_wait_seconds", "data_wait_seconds", "How much of it a step waits for its data."),
    ("memory_allocated_bytes", "memory_allocated_bytes", "Of tensors, or of the process."),
    ("memory_peak_bytes", "memory_peak_bytes", "The highest of that so far."),
    ("gpu_utilization", "gpu_utilization", "Of the first GPU at the last report, 0 to 1."),
    ("gpu_temperature_celsius", "gpu_temperature_celsius", "Of the first GPU."),
    ("gpu_power_watts", "gpu_power_watts", "Of the first GPU."),
    ("restarts", "restarts", "ReLoRA restarts that are done."),
    ("eta_seconds", "eta_seconds", "Time left, at the pace of the last report."),
)


class HttpLatency:
    """Time from the arrival of a request to the first byte of its response.

    Its labels are the method, route and status.
    """

    def __init__(self) -> None:
        self.seconds = Histogram(
            "relora_http_request_seconds",
            "Until the first byte of the answer.",
            ["method", "route", "status"],
            registry=None,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.seconds.labels(method, route, status).observe(seconds)


class Timing:
    """Middleware that measures the latency of every request."""

    def __init__(self, app: ASGIApp, latency: HttpLatency) -> None:
        self.app = app
        self.latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, answered = time.perf_counter(), False

        async def send_timed(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start" and not answered:
                answered = True
                self.latency.observe(scope, message["status"], time.perf_counter() - start)
            await send(message)

        try:
            await self.app(scope, receive, send_timed)
        except Exception:
            if not answered:
                self.latency.observe(scope, 500, time.perf_counter() - start)
            raise


@dataclass(frozen=True, eq=False)  # a registry compares by identity
class JobFigures(Collector):
    """The statistics of jobs as metrics of Prometheus."""

    stats: JobStats
    lease_seconds: float

    def collect(self) -> Iterator[Metric]:
        yield self._by_status()
        yield from self._held_jobs()

    def _by_status(self) -> Metric:
        family = GaugeMetricFamily(
            "relora_jobs", "Jobs by status; queued is the depth of the queue.", labels=["status"]
        )
        for status, count in self.stats.jobs.items():
            family.add_metric([status.value], count)
        return family

    def _held_jobs(self) -> Iterator[Metric]:
        yield self._of_jobs(
            "attempt", "Attempts so far.", ((job, job.attempt) for job in self._leased)
        )
        yield self._of_jobs(
            "failed_attempts",
            "Attempts that failed.",
            ((job, job.failed_attempts) for job in self._leased),
        )
        yield self._of_jobs(
            "lease_age_seconds",
            f"Since the worker's last sign; it is lost after {self.lease_seconds:g}.",
            ((job, self.lease_seconds - job.lease_left) for job in self._leased),
        )
        yield self._of_jobs(
            "steps_per_second",
            "At the pace of the last report.",
            ((job, _steps_per_second(job)) for job in self._leased),
        )
        for name, field, text in OF_PROGRESS:
            yield self._of_jobs(
                name, text, ((job, job.progress.get(field)) for job in self._leased)
            )

    @property
    def _leased(self) -> tuple[LeasedJob, ...]:
        return self.stats.leased

    def _of_jobs(
        self, name: str, text: str, values: Iterable[tuple[LeasedJob, float | None]]
    ) -> Metric:
        family = GaugeMetricFamily(f"relora_job_{name}", text, labels=["job_id", "project"])
        for job, value in values:
            if value is not None:
                family.add_metric([job.id, job.project], value)
        return family


@dataclass(frozen=True, eq=False)
class ServiceFigures(Collector):
    """The statistics of the whole service as metrics of Prometheus."""

    stats: ServiceStats
    event_streams: int  # of this process

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "relora_event_streams",
            "Open streams of events and of the states of jobs, of this process.",
            value=self.event_streams,
        )
        yield GaugeMetricFamily(
            "relora_unsent_messages",
            "Messages to workers that wait for the broker.",
            value=self.stats.unsent_messages,
        )
        yield self._queued_gpus()
        yield from self._uploads()

    def _queued_gpus(self) -> Metric:
        family = GaugeMetricFamily(
            "relora_queued_gpus",
            "GPUs of the jobs that a worker could take now, by the GPUs and the class of a job.",
            labels=["gpus", "class"],
        )
        for (gpus, gpu_class), total in self.stats.queued_gpus.items():
            family.add_metric([str(gpus), gpu_class or ""], total)
        return family

    def _uploads(self) -> Iterator[Metric]:
        seconds = SummaryMetricFamily(
            "relora_upload_seconds", "How long workers took to upload.", labels=["kind"]
        )
        size = CounterMetricFamily(
            "relora_uploaded_bytes", "How much workers have uploaded.", labels=["kind"]
        )
        for kind, of in self.stats.uploads.items():
            seconds.add_metric([kind], of.count, of.seconds)
            size.add_metric([kind], of.bytes)
        yield from (seconds, size)


def _steps_per_second(job: LeasedJob) -> float | None:
    pace, seen, step = (job.progress.get(n) for n in ("tokens_per_second", "tokens_seen", "step"))
    return pace * step / seen if pace and seen and step else None


def exposition(*collectors: Collector) -> bytes:
    """Return the metrics in the text format of Prometheus."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
