"""Projects over HTTP."""

from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.keys import Scope
from jobs.settings import Settings
from tests.service.keys import bearing, make_key, problem


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"authentication": "required", "allowed_sources": ("/",)})


@pytest.fixture
def operator(backends: Backends) -> dict[str, str]:
    return bearing(make_key(backends, Scope.OPERATOR))


def test_a_project_is_made_and_shows_what_it_uses(
    http: httpx.Client, backends: Backends, operator: dict[str, str], document: dict[str, Any]
) -> None:
    body = {"name": "speech", "quotas": {"gpus": 8}}
    created = http.post("/v1/projects", json=body, headers=operator)
    assert (created.status_code, created.headers["Location"]) == (201, "/v1/projects/speech")
    theirs = bearing(make_key(backends, project="speech"))
    document["resources"] = {"gpus": 2}
    assert http.post("/v1/jobs", json=document, headers=theirs).status_code == 201
    report = http.get("/v1/projects/speech", headers=theirs).json()
    assert report == created.json() | {
        "usage": {"queued_jobs": 1, "running_jobs": 0, "gpus": 0, "storage_bytes": 0},
        "gpu_hours": 0,
    }
    assert report["quotas"] == {
        "queued_jobs": None,
        "running_jobs": None,
        "gpus": 8,
        "storage_bytes": None,
    }


def test_quotas_are_changed_one_by_one(http: httpx.Client, operator: dict[str, str]) -> None:
    for quotas in ({"gpus": 4, "queued_jobs": 10}, {"gpus": None}):
        changed = http.patch("/v1/projects/default", json={"quotas": quotas}, headers=operator)
    assert changed.json()["quotas"]["queued_jobs"] == 10
    assert changed.json()["quotas"]["gpus"] is None


def test_projects_are_paged_by_name(http: httpx.Client, operator: dict[str, str]) -> None:
    http.post("/v1/projects", json={"name": "speech"}, headers=operator)
    page = http.get("/v1/projects?limit=1", headers=operator).json()
    assert [project["name"] for project in page["items"]] == ["default"]
    page = http.get(f"/v1/projects?limit=1&cursor={page['next']}", headers=operator).json()
    assert [project["name"] for project in page["items"]] == ["speech"]


def test_only_an_operator_makes_lists_and_changes_projects(
    http: httpx.Client, backends: Backends
) -> None:
    admin = bearing(make_key(backends, Scope.ADMIN))
    for response in (
        http.post("/v1/projects", json={"name": "mine"}, headers=admin),
        http.get("/v1/projects", headers=admin),
        http.patch("/v1/projects/default", json={"quotas": {"gpus": None}}, headers=admin),
    ):
        assert problem(response) == (403, "scope_missing")


def test_another_project_looks_as_if_it_were_not_there(
    http: httpx.Client, backends: Backends, operator: dict[str, str]
) -> None:
    theirs = bearing(make_key(backends, Scope.ADMIN, project="speech"))
    for name in ("default", "none"):
        response = http.get(f"/v1/projects/{name}", headers=theirs)
        assert problem(response) == (404, "project_not_found")
        assert response.json()["detail"] == f"There is no project '{name}'."
    assert http.get("/v1/projects/speech", headers=operator).status_code == 200


def test_a_wrong_project_is_refused(http: httpx.Client, operator: dict[str, str]) -> None:
    taken = http.post("/v1/projects", json={"name": "default"}, headers=operator)
    assert problem(taken) == (409, "project_exists")
    for body in ({"name": "No"}, {"name": "a", "quotas": {"gpus": -1}}, {"name": "a", "b": 1}):
        response = http.post("/v1/projects", json=body, headers=operator)
        assert problem(response) == (422, "invalid_request")
    unknown = http.patch("/v1/projects/none", json={"quotas": {}}, headers=operator)
    assert problem(unknown) == (404, "project_not_found")


def test_a_job_over_a_quota_is_refused_with_the_quota(
    http: httpx.Client, operator: dict[str, str], document: dict[str, Any]
) -> None:
    quotas = {"quotas": {"queued_jobs": 1}}
    http.patch("/v1/projects/default", json=quotas, headers=operator)
    assert http.post("/v1/jobs", json=document, headers=operator).status_code == 201
    refused = http.post("/v1/jobs", json=document, headers=operator)
    assert problem(refused) == (403, "quota_exceeded")
    assert refused.json()["quota"] == {"name": "queued_jobs", "used": 1, "asked": 1, "limit": 1}
    assert "exceed its quota queued_jobs: limit 1, used 1" in refused.json()["detail"]
