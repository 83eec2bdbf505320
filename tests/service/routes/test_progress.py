"""Where a job is, asked once or waited for."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus, RequestedAction


def test_progress_tells_where_a_running_job_is(http: httpx.Client, running: Job) -> None:
    progress = http.get(f"/v1/jobs/{running.id}/progress").json()
    expected = {
        "status": "running",
        "phase": "low_rank",
        "step": 1,
        "total_steps": 100,
        "tokens_seen": 1000,
        "loss": 4.0,
        "learning_rate": 1e-3,
        "tokens_per_second": 500.0,
        "restarts": 1,
        "attempt": 1,
        "worker": "w1",
        "version": 4,
        "queue_position": None,
    }
    assert progress.items() >= expected.items()
    assert progress["eta_seconds"] > 0


def wait(http: httpx.Client, job: Job, **query: Any) -> dict[str, Any]:
    progress: dict[str, Any] = http.get(f"/v1/jobs/{job.id}/progress", params=query).json()
    return progress


def test_a_queued_job_says_its_place(http: httpx.Client, job: Job) -> None:
    assert wait(http, job)["queue_position"] == 1


def test_who_waits_hears_of_a_change(http: httpx.Client, backends: Backends, running: Job) -> None:
    version = wait(http, running)["version"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(wait, http, running, wait=20, after=version)
        time.sleep(0.3)
        assert not answer.done()
        backends.store.request_action(running.id, RequestedAction.PAUSE)
        assert answer.result(timeout=10)["version"] == version + 1


def test_who_is_behind_does_not_wait(http: httpx.Client, running: Job) -> None:
    assert wait(http, running, wait=20, after=1)["version"] == 4
    assert wait(http, running, wait=20, after=99)["version"] == 4


def test_a_wait_ends_without_a_change(http: httpx.Client, running: Job) -> None:
    start = time.monotonic()
    assert wait(http, running, wait=0.3)["version"] == 4
    assert 0.3 <= time.monotonic() - start < 5


def test_nobody_waits_for_a_job_that_is_over(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    assert wait(http, running, wait=20)["status"] == "succeeded"


@pytest.mark.parametrize("query", [{"wait": 61}, {"wait": -1}, {"wait": "nan"}, {"after": -1}])
def test_a_wait_that_makes_no_sense_is_refused(
    http: httpx.Client, running: Job, query: dict[str, Any]
) -> None:
    response = http.get(f"/v1/jobs/{running.id}/progress", params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
