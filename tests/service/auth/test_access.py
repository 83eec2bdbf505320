"""Who is let in, to do what, and to whose jobs."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.keys import CreatedKey, Scope
from jobs.settings import Settings
from service.auth.rate_limit import RateLimiter
from tests.service.keys import bearing, make_key, problem
from tests.service.serving import serving


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"authentication": "required", "allowed_sources": ("/",)})


@pytest.fixture
def key(backends: Backends) -> Callable[..., CreatedKey]:
    return partial(make_key, backends)


def test_without_a_key_nothing_but_the_health_is_told(http: httpx.Client, job: Job) -> None:
    response = http.get(f"/v1/jobs/{job.id}")
    assert problem(response) == (401, "key_required")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer rlk_..." in response.json()["detail"]
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 200


def test_a_key_opens_its_project(
    http: httpx.Client, key: Callable[..., CreatedKey], job: Job, document: dict[str, Any]
) -> None:
    http.headers = httpx.Headers(bearing(key()))
    assert http.get(f"/v1/jobs/{job.id}").json()["id"] == job.id
    created = http.post("/v1/jobs", json=document)
    assert created.status_code == 201
    assert {item["id"] for item in http.get("/v1/jobs").json()["items"]} == {
        job.id,
        created.json()["id"],
    }


@pytest.mark.usefixtures("job")
def test_only_an_operator_sees_the_metrics_of_other_projects_and_of_the_service(
    http: httpx.Client, key: Callable[..., CreatedKey]
) -> None:
    def metrics(scope: Scope) -> str:
        other = key(scope, project="another")
        return http.get("/metrics", headers=bearing(other)).text

    def names(text: str) -> set[str]:
        return set(re.findall(r"# TYPE (\w+)", text))

    own, everything = metrics(Scope.ADMIN), metrics(Scope.OPERATOR)
    assert 'relora_jobs{status="queued"} 0.0' in own
    assert 'relora_jobs{status="queued"} 1.0' in everything
    assert names(everything) - names(own) == {
        "relora_queued_gpus",
        "relora_unsent_messages",
        "relora_upload_seconds",
        "relora_uploaded_bytes_total",
        "relora_event_streams",
        "relora_http_request_seconds",
        "relora_http_request_seconds_created",
    }


def test_a_job_keeps_that_the_service_which_accepted_it_asks_for_keys(
    http: httpx.Client,
    key: Callable[..., CreatedKey],
    backends: Backends,
    job: Job,
    document: dict[str, Any],
) -> None:
    http.headers = httpx.Headers(bearing(key()))
    submitted = http.post("/v1/jobs", json=document).json()
    forked = http.post(f"/v1/jobs/{job.id}/fork", json={"changes": {}}).json()
    swept = http.post("/v1/sweeps", json={"base": document, "grid": {"seed": [1]}}).json()
    accepted = [submitted["id"], forked["id"], swept["jobs"][0]["job_id"]]
    assert [backends.store.with_keys(job_id) for job_id in accepted] == [True, True, True]


def test_a_job_of_a_service_without_keys_keeps_that_too(
    backends: Backends, document: dict[str, Any]
) -> None:
    settings = backends.settings.model_copy(update={"authentication": "auto"})
    with (
        serving(replace(backends, settings=settings)) as url,
        httpx.Client(base_url=url) as loopback,
    ):
        submitted = loopback.post("/v1/jobs", json=document).json()
    assert not backends.store.with_keys(submitted["id"])


@pytest.mark.parametrize(
    "authorization", ["Bearer rlk_no", "Bearer x", "bearer " + "rlk_" + "0" * 10_000]
)
def test_an_unknown_key_is_refused(http: httpx.Client, authorization: str) -> None:
    response = http.get("/v1/jobs", headers={"Authorization": authorization})
    assert problem(response) == (401, "key_unknown")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("authorization", ["Basic cmxrOng=", "rlk_1", "Bearer"])
def test_another_scheme_is_no_key(http: httpx.Client, authorization: str) -> None:
    response = http.get("/v1/jobs", headers={"Authorization": authorization})
    assert problem(response) == (401, "key_required")


def test_an_expired_key_is_refused(http: httpx.Client, key: Callable[..., CreatedKey]) -> None:
    late = key(expires_in_days=0.1 / 86_400)
    time.sleep(0.1)
    response = http.get("/v1/jobs", headers=bearing(late))
    assert problem(response) == (401, "key_expired")
    assert late.prefix in response.json()["detail"]
    assert late.key not in response.text


def test_a_revoked_key_is_refused_once_it_is_looked_up_again(
    backends: Backends, key: Callable[..., CreatedKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.auth.access.KEY_SECONDS", 0.0)
    revoked = key()
    with serving(backends) as url:
        assert httpx.get(f"{url}/v1/jobs", headers=bearing(revoked)).status_code == 200
        backends.keys.revoke(revoked.id)
        response = httpx.get(f"{url}/v1/jobs", headers=bearing(revoked))
    assert problem(response) == (401, "key_revoked")


def test_a_key_that_is_revoked_here_is_refused_at_once(
    http: httpx.Client, key: Callable[..., CreatedKey]
) -> None:
    admin, revoked = key(Scope.ADMIN), key()
    assert http.get("/v1/jobs", headers=bearing(revoked)).status_code == 200
    assert http.delete(f"/v1/keys/{revoked.id}", headers=bearing(admin)).status_code == 204
    assert problem(http.get("/v1/jobs", headers=bearing(revoked))) == (401, "key_revoked")
    assert http.get("/v1/jobs", headers=bearing(admin)).status_code == 200


@pytest.mark.parametrize("path", ["events", "logs?follow=true"])
def test_a_stream_ends_with_its_key(
    http: httpx.Client,
    backends: Backends,
    key: Callable[..., CreatedKey],
    running: Job,
    path: str,
) -> None:
    admin, revoked = key(Scope.ADMIN), key()
    headers = bearing(revoked) | {"Accept": "text/event-stream"}
    backends.logs.append(running.id, 1, 0, b"seen\n")
    with http.stream("GET", f"/v1/jobs/{running.id}/{path}", headers=headers) as response:
        lines = response.iter_lines()
        next(line for line in lines if line.startswith("data:"))
        http.delete(f"/v1/keys/{revoked.id}", headers=bearing(admin))
        backends.logs.append(running.id, 1, 5, b"unseen\n")
        backends.attempts.warn(running.id, 1, "late", "unseen")
        assert not any("unseen" in line for line in lines)


def test_a_key_that_only_reads_changes_nothing(
    http: httpx.Client, key: Callable[..., CreatedKey], job: Job
) -> None:
    http.headers = httpx.Headers(bearing(key(Scope.READ)))
    response = http.post(f"/v1/jobs/{job.id}/cancel")
    assert problem(response) == (403, "scope_missing")
    assert response.headers["WWW-Authenticate"] == (
        'Bearer error="insufficient_scope", scope="write"'
    )
    assert response.json()["detail"] == (
        "This needs a key with the scope `write`; yours has `read`."
    )
    assert http.get(f"/v1/jobs/{job.id}").json()["status"] == "queued"


def test_another_projects_job_looks_as_if_it_were_not_there_at_every_route(
    http: httpx.Client, key: Callable[..., CreatedKey], job: Job, openapi: dict[str, Any]
) -> None:
    paths = openapi["paths"]
    below = [(method, path) for path in paths if "{job_id}" in path for method in paths[path]]
    assert {("get", "/v1/jobs/{job_id}"), ("post", "/v1/jobs/{job_id}/cancel")} <= set(below)
    http.headers = httpx.Headers(bearing(key(Scope.OPERATOR, project="other")))
    for method, path in below:
        for job_id in (job.id, "job_none"):
            asked = re.sub(r"\{\w+\}", "1", path.replace("{job_id}", job_id))
            response = http.request(method, asked, headers={"Accept": "text/event-stream"})
            assert problem(response) == (404, "job_not_found"), (method, path)
            assert response.json()["detail"] == f"There is no job '{job_id}'."


def test_a_head_of_another_projects_file_finds_nothing(
    http: httpx.Client, key: Callable[..., CreatedKey], job: Job
) -> None:
    headers = bearing(key(project="other"))
    assert http.head(f"/v1/jobs/{job.id}/artifacts/a", headers=headers).status_code == 404


def test_a_list_shows_the_jobs_of_its_project_alone(
    http: httpx.Client,
    backends: Backends,
    key: Callable[..., CreatedKey],
    job: Job,
    document: dict[str, Any],
) -> None:
    theirs = key(project="other")
    other = backends.store.create(JobSpec.model_validate(document), project="other")
    for headers, expected in ((bearing(key()), job.id), (bearing(theirs), other.id)):
        (only,) = http.get("/v1/jobs", headers=headers).json()["items"]
        assert only["id"] == expected


def test_on_loopback_no_key_is_needed_but_one_that_is_given_counts(
    open_url: str, key: Callable[..., CreatedKey], job: Job
) -> None:
    address = f"{open_url}/v1/jobs/{job.id}"
    assert httpx.get(address).status_code == 200
    assert httpx.get(address, headers=bearing(key(project="other"))).status_code == 404
    assert problem(httpx.get(address, headers={"Authorization": "Bearer rlk_no"})) == (
        401,
        "key_unknown",
    )


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "127.0.0.1:1"])
def test_without_a_key_the_service_answers_to_the_names_of_its_machine(
    open_url: str, host: str
) -> None:
    assert httpx.get(f"{open_url}/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7", "[", ""])
def test_a_web_page_whose_name_leads_to_this_machine_needs_a_key(
    open_url: str, key: Callable[..., CreatedKey], host: str
) -> None:
    refused = httpx.get(f"{open_url}/v1/jobs", headers={"Host": host})
    assert problem(refused) == (401, "key_required")
    assert f"this was sent to {host!r}" in refused.json()["detail"]
    let_in = httpx.get(f"{open_url}/v1/jobs", headers={"Host": host, **bearing(key())})
    assert let_in.status_code == 200


def test_where_no_key_is_needed_the_description_asks_for_none(open_url: str) -> None:
    document = httpx.get(f"{open_url}/openapi.json", timeout=60).json()
    assert "securitySchemes" not in document["components"]
    assert all(
        "security" not in one for path in document["paths"].values() for one in path.values()
    )


def test_where_a_key_is_needed_the_description_is_that_of_the_module(
    http: httpx.Client, openapi: dict[str, Any]
) -> None:
    assert http.get("/openapi.json").json() == openapi


def test_every_operation_but_the_health_asks_for_a_key(openapi: dict[str, Any]) -> None:
    (scheme,) = openapi["components"]["securitySchemes"].items()
    assert scheme[1]["type"] == "http"
    assert scheme[1]["scheme"] == "bearer"
    open_to_all = {
        path
        for path, operations in openapi["paths"].items()
        for operation in operations.values()
        if operation.get("security") != [{scheme[0]: []}]
        or not {"401", "403"} <= operation["responses"].keys()
    }
    assert open_to_all == {"/healthz", "/readyz"}


def test_the_key_is_checked_before_the_body_is_read_and_counts(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    async def take(_: RateLimiter, caller: str) -> None:
        counted.append(caller)

    monkeypatch.setattr(RateLimiter, "take", take)
    headers = {"Content-Type": "application/json"}
    for path in ("/v1/jobs", "/v1/jobs/job_1/fork", "/v1/sweeps", "/v1/keys"):
        response = http.post(path, content=b"[" * 100_000, headers=headers)
        assert problem(response) == (401, "key_required"), path
    assert counted == ["address:127.0.0.1"] * 4


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_without_a_key_a_page_of_another_site_changes_nothing(
    open_url: str, job: Job, headers: dict[str, str], key: Callable[..., CreatedKey]
) -> None:
    address = f"{open_url}/v1/jobs/{job.id}/cancel"
    assert problem(httpx.post(address, headers=headers)) == (403, "foreign_origin")
    assert httpx.get(f"{open_url}/v1/jobs", headers=headers).status_code == 200
    assert httpx.post(address, headers={**headers, **bearing(key())}).status_code == 202


@pytest.mark.parametrize("site", ["same-origin", "none", None])
def test_a_page_of_this_server_needs_no_key(open_url: str, job: Job, site: str | None) -> None:
    headers = {"Origin": open_url} | ({"Sec-Fetch-Site": site} if site else {})
    response = httpx.post(f"{open_url}/v1/jobs/{job.id}/cancel", headers=headers)
    assert response.status_code == 202
