"""New jobs from others over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.events import JobQueued
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.status import JobStatus
from tests.service.keys import problem

CHECKPOINT = "checkpoints/step-00000050"
NOW = datetime.now(UTC)
UNKNOWN_JOB = {"preset": None, "pretrained": "job://job_1/final"}


@pytest.fixture
def saved(backends: Backends, running: Job) -> Job:
    """A job with a checkpoint and a final model."""
    files = [
        Artifact(
            path=path, kind=kind, step=50, size=1, sha256="0" * 64, created_at=datetime.now(UTC)
        )
        for path, kind in ((f"{CHECKPOINT}/state.json", "checkpoint"), ("final/a", "final"))
    ]
    backends.attempts.add_artifacts(running.id, 1, files)
    return running


def test_a_fork_is_a_job_of_its_own(http: httpx.Client, backends: Backends, job: Job) -> None:
    response = http.post(f"/v1/jobs/{job.id}/fork", json={"changes": {"training": {"seed": 3}}})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/jobs/{made['id']}"
    assert (made["forked_from"], made["name"]) == (job.id, "tiny-fork")
    assert made["spec"]["training"]["seed"] == 3
    (queued,) = backends.store.events(made["id"])
    assert isinstance(queued, JobQueued)
    assert queued.reason == "forked"


def test_the_same_idempotency_key_gives_the_same_fork(http: httpx.Client, job: Job) -> None:
    headers = {"Idempotency-Key": "a-key"}
    first, second = (
        http.post(f"/v1/jobs/{job.id}/fork", json={}, headers=headers) for _ in range(2)
    )
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


@pytest.mark.parametrize(
    ("source", "part", "field"),
    [("final", "model", "pretrained"), (CHECKPOINT, "method", "warm_start_from")],
)
def test_a_fork_begins_with_weights(
    http: httpx.Client, saved: Job, source: str, part: str, field: str
) -> None:
    made = http.post(f"/v1/jobs/{saved.id}/fork", json={"from": source}).json()
    assert made["spec"][part][field] == f"job://{saved.id}/{source}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"from": "merged/step-00000050"}, 404, "artifact_not_found"),
        ({"from": "logs"}, 422, "invalid_request"),
        ({"form": "final"}, 422, "invalid_request"),
        ({"from": CHECKPOINT, "changes": {"method": {"name": "full"}}}, 422, "invalid_spec"),
        ({"changes": {"training": {"steps": -1}}}, 422, "invalid_spec"),
        ({"changes": {"model": UNKNOWN_JOB}}, 422, "invalid_spec"),
        ({"changes": {"model": {"preset": None, "pretrained": "job://x"}}}, 422, "invalid_spec"),
    ],
)
def test_a_fork_that_cannot_run_is_refused(
    http: httpx.Client, backends: Backends, saved: Job, body: dict[str, Any], status: int, code: str
) -> None:
    response = http.post(f"/v1/jobs/{saved.id}/fork", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert len(backends.store.list()) == 1


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"training": {"steps": -1}}, "changes.training.steps"),
        ({"training": None, "unheard": 1}, "changes.unheard"),
        ({"data": {"train": {"uri": "upload://ds_1"}}}, "changes.data.train.uri"),
    ],
    ids=["a wrong value", "an unknown field", "a dataset that does not exist"],
)
def test_a_wrong_change_is_named_by_its_path_in_the_body(
    http: httpx.Client, job: Job, changes: dict[str, Any], path: str
) -> None:
    errors = http.post(f"/v1/jobs/{job.id}/fork", json={"changes": changes}).json()["errors"]
    assert path in [error["path"] for error in errors]


def test_a_job_that_a_fork_waits_for_is_not_deleted(
    http: httpx.Client, backends: Backends, saved: Job
) -> None:
    fork = http.post(f"/v1/jobs/{saved.id}/fork", json={"from": "final"}).json()["id"]
    backends.attempts.finish(saved.id, 1, JobStatus.SUCCEEDED)
    refused = http.delete(f"/v1/jobs/{saved.id}", params={"artifacts": True})
    assert problem(refused) == (409, "job_in_use")
    assert fork in refused.json()["detail"]

    http.post(f"/v1/jobs/{fork}/cancel")
    assert http.delete(f"/v1/jobs/{saved.id}").status_code == 204
    assert problem(http.post(f"/v1/jobs/{fork}/retry")) == (404, "job_not_found")


def test_a_fork_does_not_write_where_its_parent_writes(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    document["output"] = {"uri": "s3://models/run"}
    job = backends.store.create(JobSpec.model_validate(document))
    errors = http.post(f"/v1/jobs/{job.id}/fork", json={}).json()["errors"]
    assert [error["path"] for error in errors] == ["changes.output.uri"]
    elsewhere = {"changes": {"output": {"uri": "s3://models/fork"}}}
    assert http.post(f"/v1/jobs/{job.id}/fork", json=elsewhere).status_code == 201


def test_a_job_that_is_not_there_is_not_forked(http: httpx.Client) -> None:
    response = http.post("/v1/jobs/job_none/fork", json={})
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
