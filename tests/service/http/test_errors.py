"""The shape of errors, whatever went wrong."""

import json
from contextlib import closing

import httpx
import pytest
from fastapi import Request

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.errors import JobsError, LeaseLost, QueueUnavailable, StorageRefused
from jobs.schemas.job import Job
from jobs.settings import Settings
from service.http.errors import refused
from tests.service.error_classes import ANSWERED, all_errors
from tests.service.serving import serving


def test_an_error_is_a_problem_with_the_id_of_its_request(http: httpx.Client) -> None:
    response = http.get("/v1/jobs/job_none", headers={"X-Request-ID": "mine-1"})
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"] == "mine-1"
    assert response.json() == {
        "type": "urn:relora:problem:job_not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no job 'job_none'.",
        "code": "job_not_found",
        "request_id": "mine-1",
    }


@pytest.mark.parametrize("error", ANSWERED, ids=lambda error: error.code)
def test_an_error_is_answered_with_its_own_status_and_code(error: type[JobsError]) -> None:
    request = Request({"type": "http", "state": {"request_id": "mine-1"}})
    answer = refused(request, error.__new__(error))
    problem = json.loads(bytes(answer.body))
    assert answer.status_code == problem["status"] == error.http_status
    assert problem["code"] == error.code != "internal_error"


def test_two_errors_do_not_share_a_code() -> None:
    codes = [error.code for error in ANSWERED]
    assert len(set(codes)) == len(codes)


def test_only_errors_of_the_workers_have_no_code() -> None:
    raised = {error for error in all_errors() if not error.__subclasses__()}
    assert {error for error in raised if error.code == "internal_error"} == {
        LeaseLost,
        QueueUnavailable,
    }


def test_a_refusal_of_the_storage_is_answered_as_a_failure_of_the_storage(
    http: httpx.Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageRefused("The storage refused: no such bucket.")

    monkeypatch.setattr("jobs.store.jobs.JobStore.get", refuse)
    response = http.get(f"/v1/jobs/{job.id}")
    assert (response.status_code, response.json()["code"]) == (502, "storage_failed")
    assert response.json()["detail"] == "The storage refused: no such bucket."


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>"])
def test_a_request_without_a_sound_id_gets_one(http: httpx.Client, given: str) -> None:
    answered = http.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"]
    assert len(answered) == 32
    assert answered != given


def test_a_route_that_does_not_exist_is_a_problem_too(http: httpx.Client) -> None:
    response = http.get("/v1/job")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response.json()["detail"] == "There is nothing at /v1/job."


def test_a_method_that_is_not_possible_names_those_that_are(http: httpx.Client, job: Job) -> None:
    response = http.put(f"/v1/jobs/{job.id}")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "DELETE, GET, HEAD, PATCH"
    assert http.put("/v1/jobs/estimate").headers["Allow"] == "POST"
    missing = http.post(f"/v1/jobs/{job.id}/artifacts/final/config.json")
    assert missing.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        (
            "/v1/jobs?stauts=queued",
            "stauts",
            "unknown; there are created_after, created_before, cursor, id_prefix, label, limit, "
            "method, status",
        ),
        ("/v1/jobs/{job}?after=1", "after", "unknown; it takes none"),
        (
            "/v1/jobs?created_before=0.5",
            "created_before",
            "write it as 2026-01-31T12:00:00Z",
        ),
        ("/v1/jobs?limit=0", "limit", "must be at least 1"),
        ("/v1/jobs/{job}/events?limit=x", "limit", "must be a whole number"),
    ],
)
def test_a_wrong_query_is_refused_and_explained(
    http: httpx.Client, job: Job, path: str, field: str, message: str
) -> None:
    response = http.get(path.format(job=job.id))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    (error,) = response.json()["errors"]
    assert error["path"] == field
    assert error["message"].startswith(message)


def test_a_bug_is_a_problem_that_tells_nothing_of_the_inside(
    http: httpx.Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.jobs.JobStore.get", lambda *_: 1 / 0)
    response = http.get(f"/v1/jobs/{job.id}", headers={"X-Request-ID": "mine-2"})
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.headers["X-Request-ID"] == "mine-2"
    assert "ZeroDivision" not in response.text


@pytest.mark.integration
def test_what_postgresql_cannot_hold_is_refused(settings: Settings, postgres_url: str) -> None:
    migrate(postgres_url)
    settings = settings.model_copy(update={"database_url": postgres_url})
    with closing(open_backends(settings)) as backends, serving(backends) as url:
        key = httpx.get(f"{url}/v1/keys/key_%00")
        job = httpx.get(f"{url}/v1/jobs/job_%00")
    assert (key.status_code, key.json()["code"]) == (422, "invalid_request")
    assert "NUL" in key.json()["detail"]
    assert (job.status_code, job.json()["code"]) == (422, "invalid_request")


HUGE = 10**30


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/v1/jobs/{{job}}/events?after={HUGE}", {}),
        (f"/v1/jobs/{{job}}/events?after={2**63}", {}),
        ("/v1/jobs/{job}/events", {"Last-Event-ID": str(HUGE)}),
        ("/v1/jobs/{job}/logs?follow=true", {"Last-Event-ID": str(HUGE)}),
        (f"/v1/jobs/{{job}}/logs?attempt={HUGE}", {}),
        (f"/v1/jobs/{{job}}/metrics?from_step={HUGE}", {}),
        (f"/v1/jobs/{{job}}/metrics?to_step={HUGE}", {}),
        (f"/v1/jobs/{{job}}/progress?wait=1&after={HUGE}", {}),
        (f"/v1/jobs/{{job}}/artifacts?step={HUGE}", {}),
        ("/v1/jobs?created_after=0001-01-01T00:00:00%2B23:59", {}),
        ("/v1/jobs?created_before=9999-12-31T23:59:59-23:59", {}),
        ("/v1/jobs?" + "&".join(["label=a=b"] * 3000), {}),
        ("/v1/jobs?" + "&".join(["status=queued"] * 3000), {}),
    ],
)
def test_a_value_that_no_person_would_send_is_refused_and_no_error_of_the_service(
    http: httpx.Client, running: Job, path: str, headers: dict[str, str]
) -> None:
    response = http.get(path.format(job=running.id), headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "suggestion"),
    [
        ("PATCH", "/v1/jobs/{id}", {"lables": {}}, "lables", "labels"),
        ("POST", "/v1/jobs/{id}/fork", {"form": "final"}, "form", "from"),
        ("POST", "/v1/jobs/{id}/generate", {"promt": "Once"}, "promt", "prompt"),
        ("POST", "/v1/projects", {"name": "a", "quotas": {"gpu": 8}}, "quotas.gpu", "gpus"),
        ("PATCH", "/v1/projects/default", {"quota": {}}, "quota", "quotas"),
        ("POST", "/v1/webhooks", {"uri": "https://example.org"}, "uri", "url"),
        ("POST", "/v1/keys", {"nmae": "ci"}, "nmae", "name"),
        ("POST", "/v1/sweeps", {"base": {}, "grids": {}}, "grids", "grid"),
        ("PUT", "/v1/secrets/HF_TOKEN", {"vlaue": "hf_0123"}, "vlaue", "value"),
    ],
)
def test_an_unknown_field_of_any_body_is_answered_with_the_nearest_field(
    http: httpx.Client, job: Job, method: str, path: str, body: object, field: str, suggestion: str
) -> None:
    response = http.request(method, path.format(id=job.id), json=body)
    messages = {error["path"]: error["message"] for error in response.json()["errors"]}
    assert messages[field] == f"unknown field; did you mean `{suggestion}`?"


def test_a_wrong_value_of_a_secret_is_not_repeated(http: httpx.Client) -> None:
    response = http.put("/v1/secrets/HF_TOKEN", json={"value": ["hf_0123"]})
    assert response.status_code == 422
    assert "hf_0123" not in response.text
