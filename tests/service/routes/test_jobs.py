"""Jobs over HTTP."""

from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.models import Job
from jobs.status import JobStatus


def test_a_submitted_job_is_created_where_its_location_says(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    response = http.post("/v1/jobs", json=document)
    job = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["attempt"], job["name"]) == ("queued", 0, "tiny")
    assert http.get(response.headers["Location"]).json() == job


def test_what_the_spec_leaves_out_is_in_the_answer(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    spec = http.post("/v1/jobs", json=document).json()["spec"]
    assert spec["method"]["name"] == "relora"
    assert spec["retries"] == {"max_attempts": 5}


def test_a_wrong_spec_names_each_field_and_queues_nothing(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    document["method"] = {"name": "relora", "rank": 0, "reset_evry": 10}
    document["training"]["steps"] = -1
    response = http.post("/v1/jobs", json=document)
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_spec"
    assert response.json()["errors"] == [
        {
            "path": "method.rank",
            "message": "Input should be greater than or equal to 1; got 0",
        },
        {
            "path": "method.reset_evry",
            "message": "unknown field; did you mean `reset_every`?",
        },
        {
            "path": "training.steps",
            "message": "Input should be greater than or equal to 1; got -1",
        },
    ]
    assert backends.store.list() == []
    assert backends.outbox.unsent() == []


def test_fields_that_do_not_fit_together_are_named_by_the_one_to_change(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    document["schedule"] = {"warmup_steps": 100}
    errors = http.post("/v1/jobs", json=document).json()["errors"]
    assert [error["path"] for error in errors] == ["schedule.warmup_steps"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ("{'name': 1}", "application/json", 400, "malformed_body"),
        ("[1]", "application/json", 422, "invalid_spec"),
        ("", "application/json", 422, "invalid_request"),
        ("name: tiny", "application/yaml", 415, "unsupported_media_type"),
        ('{"name": "tiny"}', "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("\xff\xfe", "application/json", 400, "malformed_body"),
    ],
)
def test_a_body_that_is_no_spec_is_refused(
    http: httpx.Client, body: str, content_type: str, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type}
    response = http.post("/v1/jobs", content=body.encode("latin-1"), headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_body_over_the_limit_is_refused(http: httpx.Client, document: dict[str, Any]) -> None:
    document["labels"] = {"note": "x" * (1 << 20)}
    response = http.post("/v1/jobs", json=document)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_a_body_over_the_limit_is_refused_without_a_declared_length(http: httpx.Client) -> None:
    response = http.post("/v1/jobs", content=(b" " * 65536 for _ in range(20)))
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_jobs_are_listed_in_pages_the_newest_first(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    ids = [http.post("/v1/jobs", json=document).json()["id"] for _ in range(3)]
    first = http.get("/v1/jobs", params={"limit": 2}).json()
    second = http.get("/v1/jobs", params={"limit": 2, "before": first["next"]}).json()
    assert [job["id"] for job in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None


def test_jobs_are_listed_by_status(http: httpx.Client, running: Job) -> None:
    assert http.get("/v1/jobs", params={"status": "queued"}).json()["items"] == []
    items = http.get("/v1/jobs", params={"status": "running"}).json()["items"]
    assert [job["id"] for job in items] == [running.id]


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
    }
    assert progress.items() >= expected.items()
    assert progress["eta_seconds"] > 0


def test_a_waiting_job_is_cancelled_at_once(http: httpx.Client, job: Job) -> None:
    response = http.post(f"/v1/jobs/{job.id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")


def test_a_running_job_is_asked_to_pause(http: httpx.Client, running: Job) -> None:
    response = http.post(f"/v1/jobs/{running.id}/pause")
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["wish"]) == ("running", "pause")


def test_a_paused_job_is_queued_again(http: httpx.Client, job: Job) -> None:
    assert http.post(f"/v1/jobs/{job.id}/pause").json()["status"] == "paused"
    response = http.post(f"/v1/jobs/{job.id}/resume")
    assert (response.status_code, response.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("move", ["cancel", "pause", "resume"])
def test_a_finished_job_does_not_move(
    http: httpx.Client, backends: Backends, running: Job, move: str
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    response = http.post(f"/v1/jobs/{running.id}/{move}")
    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")
    assert response.json()["detail"].startswith(f"Job {running.id} is succeeded")


REQUESTS: list[tuple[str, str]] = [
    ("GET", ""),
    ("GET", "/progress"),
    ("GET", "/events"),
    ("GET", "/artifacts"),
    ("GET", "/artifacts/final/config.json"),
    ("POST", "/cancel"),
    ("POST", "/pause"),
    ("POST", "/resume"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_job_that_is_not_there_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, f"/v1/jobs/job_none{path}")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    assert response.json()["detail"] == "There is no job 'job_none'."
