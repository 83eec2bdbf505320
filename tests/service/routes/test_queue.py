"""What waits, and who works, over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.workers import Gpu, Registration


@pytest.mark.usefixtures("running")
def test_the_queue_is_read_page_by_page(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    specs = [{**document, "priority": priority} for priority in (0, 7)]
    low, high = (backends.store.create(JobSpec.model_validate(one)).id for one in specs)
    first = http.get("/v1/queue", params={"limit": 1}).json()
    second = http.get("/v1/queue", params={"limit": 1, "cursor": first["next"]}).json()
    assert [(one["position"], one["job_id"]) for one in first["items"]] == [(1, high)]
    assert [(one["position"], one["job_id"]) for one in second["items"]] == [(2, low)]
    assert {name: count for name, count in first["counts"].items() if count} == {
        "queued": 2,
        "running": 1,
    }


@pytest.mark.parametrize("cursor", ["x", "5", "99999.job_1", "1.job_"])
def test_a_cursor_that_the_queue_never_gave_is_refused(http: httpx.Client, cursor: str) -> None:
    response = http.get("/v1/queue", params={"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_workers_are_listed_with_their_gpus_and_jobs(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.workers.beat(
        Registration(
            name="w1",
            host="node-1",
            version="1.0",
            gpus=(Gpu(name="NVIDIA L4", memory_bytes=24 << 30),),
            started_at=datetime.now(UTC),
        )
    )
    (worker,) = http.get("/v1/workers").json()["items"]
    (gpu,) = worker["gpus"]
    assert (gpu["name"], gpu["memory_bytes"], gpu["utilization"]) == ("NVIDIA L4", 24 << 30, None)
    assert (worker["status"], worker["job_id"]) == ("busy", running.id)
