"""What Prometheus reads, parsed as it parses."""

from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from jobs.backends import Backends
from jobs.schemas.job import Job
from tests.fixtures.reports import step_finished

Figures = Callable[..., float | None]


def read(http: httpx.Client) -> Figures:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    return lambda name, **labels: samples.get((name, frozenset(labels.items())))


def test_jobs_and_their_progress_are_figures(
    http: httpx.Client, running: Job, report: Callable[..., None]
) -> None:
    report(running, step_finished(10, loss=3.5, mfu=0.41, step_seconds=2.5, gpu_power_watts=650.0))
    figures, labels = read(http), {"job_id": running.id, "project": "default"}
    assert figures("relora_jobs", status="running") == 1
    assert figures("relora_jobs", status="queued") == 0
    assert figures("relora_unsent_messages") is not None
    assert figures("relora_job_attempt", **labels) == 1
    assert figures("relora_job_failed_attempts", **labels) == 0
    assert figures("relora_job_step", **labels) == 10
    assert figures("relora_job_loss", **labels) == 3.5
    assert figures("relora_job_restarts", **labels) == 1
    assert figures("relora_job_steps_per_second", **labels) == 0.5  # 500 tokens of 1000 a step
    assert figures("relora_job_mfu", **labels) == 0.41
    assert figures("relora_job_step_seconds", **labels) == 2.5
    assert figures("relora_job_gpu_power_watts", **labels) == 650.0
    assert figures("relora_job_gpu_utilization", **labels) is None  # it was not read
    age = figures("relora_job_lease_age_seconds", **labels)
    assert age is not None
    assert 0 <= age < 30


def test_uploads_are_figures(http: httpx.Client, backends: Backends) -> None:
    backends.stats.add_upload("checkpoint", num_bytes=100, seconds=1.5)
    figures = read(http)
    assert figures("relora_upload_seconds_count", kind="checkpoint") == 1
    assert figures("relora_upload_seconds_sum", kind="checkpoint") == 1.5
    assert figures("relora_uploaded_bytes_total", kind="checkpoint") == 100


def test_requests_are_timed_by_route_and_not_by_path(http: httpx.Client, job: Job) -> None:
    http.get(f"/v1/jobs/{job.id}")
    http.get(f"/v1/jobs/{job.id}/metrics")
    http.get("/v1/jobs/job_none")
    for number in range(3):
        http.get(f"/nothing/{number}")
    figures = read(http)

    def count(route: str, status: int) -> float | None:
        labels = {"method": "GET", "route": route, "status": str(status)}
        return figures("relora_http_request_seconds_count", **labels)

    assert count("/v1/jobs/{job_id}", 200) == 1
    assert count("/v1/jobs/{job_id}", 404) == 1
    assert count("/v1/jobs/{job_id}/metrics", 200) == 1
    assert count("none", 404) == 3
