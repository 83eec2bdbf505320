"""Jobs over HTTP."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import Backends, open_backends
from jobs.garbage.storage import collect_garbage
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.settings import Settings
from relora_core.spec import METHODS
from tests.service.keys import bearing, make_key
from tests.service.serving import serving


def test_a_submitted_job_is_created_where_its_location_says(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    response = http.post("/v1/jobs", json=document)
    job = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["attempt"], job["name"]) == ("queued", 0, "tiny")
    assert http.get(response.headers["Location"]).json() | {"warnings": []} == job


def test_what_the_spec_leaves_out_is_in_the_answer(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    spec = http.post("/v1/jobs", json=document).json()["spec"]
    assert spec["method"]["name"] == "relora"
    assert spec["retries"] == {"max_attempts": 5, "stalled_after": 1800}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate"])
def test_the_answer_names_fields_that_were_ignored(
    path: str, http: httpx.Client, document: dict[str, Any]
) -> None:
    document["method"] = {"name": "lora", "rank": 8, "reset_every": 100}
    assert http.post(path, json=document).json()["warnings"] == [
        {
            "path": "method.reset_every",
            "message": "is ignored: it belongs to relora, not to lora",
        }
    ]


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
            "message": "must be at least 1; got 0",
        },
        {
            "path": "method.reset_evry",
            "message": "unknown field; did you mean `reset_every`?",
        },
        {
            "path": "training.steps",
            "message": "must be at least 1; got -1",
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


def test_another_projects_files_are_neither_written_nor_read(
    http: httpx.Client, backends: Backends, document: dict[str, Any], running: Job
) -> None:
    theirs = f"{backends.settings.storage_url}/jobs/{running.id}"
    document["output"] = {"uri": theirs}
    document["model"] = {"pretrained": theirs.removeprefix("file://") + "/final"}
    document["data"]["train"]["uri"] = f"{theirs}/final/*.parquet"
    errors = http.post("/v1/jobs", json=document).json()["errors"]
    paths = [error["path"] for error in errors]
    named = ["data.train.uri", "model.pretrained", "tokenizer.pretrained"]  # the model's own
    assert paths == ["output.uri", *named]
    assert [job.id for job in backends.store.list()] == [running.id]


def test_who_needs_a_key_reads_no_file_of_the_machine_that_is_not_allowed(
    settings: Settings, document: dict[str, Any], tmp_path: Path
) -> None:
    required = settings.model_copy(update={"authentication": "required"})
    allowing = required.model_copy(update={"allowed_sources": (str(tmp_path),)})
    for chosen, expected in ((required, 422), (allowing, 200)):
        with closing(open_backends(chosen)) as backends, serving(backends) as url:
            headers = bearing(make_key(backends))
            response = httpx.post(f"{url}/v1/jobs/estimate", json=document, headers=headers)
            assert response.status_code == expected


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
    second = http.get("/v1/jobs", params={"limit": 2, "cursor": first["next"]}).json()
    assert [job["id"] for job in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None
    assert http.get("/v1/jobs", params={"limit": 3}).json()["next"] is None  # the last may be full


def test_jobs_are_listed_by_status(http: httpx.Client, running: Job) -> None:
    assert http.get("/v1/jobs", params={"status": "queued"}).json()["items"] == []
    items = http.get("/v1/jobs", params={"status": "running"}).json()["items"]
    assert [job["id"] for job in items] == [running.id]


def test_a_waiting_job_is_cancelled_at_once(http: httpx.Client, job: Job) -> None:
    response = http.post(f"/v1/jobs/{job.id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")


def test_a_running_job_is_asked_to_pause(http: httpx.Client, running: Job) -> None:
    response = http.post(f"/v1/jobs/{running.id}/pause")
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["requested_action"]) == ("running", "pause")


def test_a_running_job_is_asked_for_one_profile_at_a_time(http: httpx.Client, running: Job) -> None:
    path = f"/v1/jobs/{running.id}/profile"
    response = http.post(path, json={"steps": 3})
    assert (response.status_code, response.json()["steps"]) == (202, 3)
    again = http.post(path, json={})
    assert (again.status_code, again.json()["code"]) == (409, "profile_pending")


@pytest.mark.parametrize("steps", [0, 51, "5", None])
def test_a_profile_of_a_wrong_number_of_steps_is_refused(
    http: httpx.Client, running: Job, steps: object
) -> None:
    response = http.post(f"/v1/jobs/{running.id}/profile", json={"steps": steps})
    assert response.status_code == 422
    assert "steps" in response.text


def test_a_job_that_does_not_run_is_not_profiled(http: httpx.Client, job: Job) -> None:
    response = http.post(f"/v1/jobs/{job.id}/profile", json={"steps": 3})
    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")


def test_a_paused_job_is_queued_again(http: httpx.Client, job: Job) -> None:
    assert http.post(f"/v1/jobs/{job.id}/pause").json()["status"] == "paused"
    response = http.post(f"/v1/jobs/{job.id}/resume")
    assert (response.status_code, response.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("move", ["cancel", "pause", "resume", "retry"])
def test_a_finished_job_does_not_move(
    http: httpx.Client, backends: Backends, running: Job, move: str
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    response = http.post(f"/v1/jobs/{running.id}/{move}")
    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")
    assert response.json()["detail"].startswith(f"Job {running.id} is succeeded")


def test_the_same_idempotency_key_gives_the_same_job(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "a-key"}
    first = http.post("/v1/jobs", json=document, headers=headers)
    second = http.post("/v1/jobs", json=document, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    third = http.post("/v1/jobs", json={**document, "name": "other"}, headers=headers)
    assert (third.status_code, third.json()["code"]) == (409, "idempotency_conflict")
    assert len(backends.store.list()) == 1


def test_an_idempotency_key_is_printable_and_short(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    for key in ("two words", "x" * 256):
        response = http.post("/v1/jobs", json=document, headers={"Idempotency-Key": key})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_jobs_are_listed_by_all_that_is_asked(http: httpx.Client, document: dict[str, Any]) -> None:
    asked = {"status": ["queued", "failed"], "label": ["team=nlp", "stage=1"], "method": "full"}
    full = {**document, "method": "full", "labels": {"team": "nlp", "stage": "1"}}
    job = http.post("/v1/jobs", json=full).json()
    http.post("/v1/jobs", json={**full, "method": "lora"})
    http.post("/v1/jobs", json={**full, "labels": {"team": "nlp"}})
    assert [one["id"] for one in http.get("/v1/jobs", params=asked).json()["items"]] == [job["id"]]
    later = {**asked, "created_after": "2099-01-01T00:00:00Z"}
    assert http.get("/v1/jobs", params=later).json() == {"items": [], "next": None}


def test_jobs_are_listed_by_every_method_that_there_is(http: httpx.Client) -> None:
    answers = {name: http.get("/v1/jobs", params={"method": name}) for name in METHODS}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        METHODS, 200
    )


@pytest.mark.parametrize(
    "query", [{"label": "team"}, {"method": "other"}, {"created_after": "2026-01-01T00:00:00"}]
)
def test_a_filter_that_makes_no_sense_is_named(http: httpx.Client, query: dict[str, str]) -> None:
    response = http.get("/v1/jobs", params=query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"].startswith(f"{next(iter(query))}")


def test_a_job_is_changed(http: httpx.Client, job: Job) -> None:
    changes = {"name": "better", "labels": {"team": "nlp"}, "priority": 5}
    changed = http.patch(f"/v1/jobs/{job.id}", json=changes).json()
    assert {key: changed[key] for key in changes} == changes
    assert http.get(f"/v1/jobs/{job.id}").json() == changed


@pytest.mark.parametrize(
    "changes", [{"nmae": "x"}, {"name": ""}, {"name": None}, {"priority": 101}]
)
def test_a_change_that_makes_no_sense_is_refused(
    http: httpx.Client, job: Job, changes: dict[str, Any]
) -> None:
    response = http.patch(f"/v1/jobs/{job.id}", json=changes)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_the_priority_of_a_running_job_stays(http: httpx.Client, running: Job) -> None:
    response = http.patch(f"/v1/jobs/{running.id}", json={"priority": 1})
    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")


def test_a_cancelled_job_is_retried(http: httpx.Client, job: Job) -> None:
    http.post(f"/v1/jobs/{job.id}/cancel")
    response = http.post(f"/v1/jobs/{job.id}/retry")
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    assert response.json()["progress"]["queue_position"] == 1


@pytest.fixture
def finished(backends: Backends, running: Job, tmp_path: Path) -> Job:
    """A job that is over, with a file."""
    file = tmp_path / "config.json"
    file.write_text("{}")
    backends.storage_for(running).upload(file, "final/config.json")
    listed = Artifact(
        path="final/config.json",
        kind="final",
        step=1,
        size=2,
        sha256="0" * 64,
        created_at=datetime.now(UTC),
    )
    backends.attempts.add_artifacts(running.id, 1, [listed])
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    return backends.store.get(running.id)


@pytest.mark.parametrize("files", ["kept", "deleted"])
def test_a_job_that_is_over_is_deleted_and_its_files_if_asked(
    http: httpx.Client, backends: Backends, finished: Job, files: str
) -> None:
    query = {"artifacts": files == "deleted"}
    response = http.delete(f"/v1/jobs/{finished.id}", params=query)
    assert (response.status_code, response.content) == (204, b"")
    assert http.get(f"/v1/jobs/{finished.id}").status_code == 404
    left = [file.key for file in backends.storage_for(finished).list("")]
    assert left == ([] if files == "deleted" else ["final/config.json"])


def test_in_a_place_that_the_spec_names_only_the_jobs_own_files_are_deleted(
    http: httpx.Client, backends: Backends, document: dict[str, Any], tmp_path: Path
) -> None:
    document["output"] = {"uri": (tmp_path / "models").as_uri()}
    job = backends.store.create(JobSpec.model_validate(document))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "notes.txt").write_text("mine")
    backends.store.request_action(job.id, RequestedAction.CANCEL)
    assert http.delete(f"/v1/jobs/{job.id}", params={"artifacts": True}).status_code == 204
    assert (tmp_path / "models" / "notes.txt").read_text() == "mine"


def test_files_that_the_storage_does_not_delete_now_are_deleted_later(
    http: httpx.Client, backends: Backends, finished: Job, settings: Settings
) -> None:
    jobs = settings.data_dir / "storage" / "jobs"
    jobs.rename(jobs.with_name("away"))
    jobs.touch()
    refused = http.delete(f"/v1/jobs/{finished.id}", params={"artifacts": True})
    assert (refused.status_code, refused.json()["code"]) == (502, "storage_failed")
    begin = f"Job {finished.id} is deleted. Its files are not yet: the service tries again later. "
    assert refused.json()["detail"].startswith(begin)
    assert http.get(f"/v1/jobs/{finished.id}").status_code == 404
    jobs.unlink()
    jobs.with_name("away").rename(jobs)

    assert list(backends.storage_for(finished).list("")) != []
    assert [found.where for found in collect_garbage(backends, dry_run=False)] == [finished.id]
    assert list(backends.storage_for(finished).list("")) == []


def test_a_job_that_is_not_over_is_not_deleted(http: httpx.Client, running: Job) -> None:
    response = http.delete(f"/v1/jobs/{running.id}", params={"artifacts": True})
    assert (response.status_code, response.json()["code"]) == (409, "illegal_transition")


REQUESTS: list[tuple[str, str]] = [
    ("GET", ""),
    ("GET", "/progress"),
    ("GET", "/events"),
    ("GET", "/artifacts"),
    ("GET", "/artifacts/final/config.json"),
    ("POST", "/cancel"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/retry"),
    ("PATCH", ""),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_job_that_is_not_there_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(
        method, f"/v1/jobs/job_none{path}", json={} if method == "PATCH" else None
    )
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    assert response.json()["detail"] == "There is no job 'job_none'."


def test_a_priority_above_the_operators_limit_is_refused_at_submit_and_later(
    backends: Backends, job: Job, document: dict[str, Any]
) -> None:
    settings = backends.settings.model_copy(update={"max_priority": 3})
    with (
        serving(replace(backends, settings=settings)) as url,
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        answers = [
            http.post("/v1/jobs", json={**document, "priority": 4}),
            http.patch(f"/v1/jobs/{job.id}", json={"priority": 4}),
        ]
        allowed = http.patch(f"/v1/jobs/{job.id}", json={"priority": 3})
    for answer in answers:
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["path"] == "priority"
        assert problem["message"] == "must be 3 or less here; got 4"
    assert allowed.json()["priority"] == 3
