"""Sweeps over HTTP."""

from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from service.routes.sweeps import SWEEP_EXAMPLES


@pytest.fixture
def body(document: dict[str, Any]) -> dict[str, Any]:
    return {"base": document, "grid": {"method": ["full", "lora", "relora"], "rank": [64, 128]}}


def test_a_sweep_is_created_where_its_location_says(
    http: httpx.Client, body: dict[str, Any]
) -> None:
    response = http.post("/v1/sweeps", json=body)
    sweep = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/sweeps/{sweep['id']}"
    assert [job["changes"] for job in sweep["jobs"]] == [
        {"method": "full"},
        {"method": "lora", "rank": 64},
        {"method": "lora", "rank": 128},
        {"method": "relora", "rank": 64},
        {"method": "relora", "rank": 128},
    ]
    assert http.get(response.headers["Location"]).json() == sweep
    assert http.get("/v1/jobs").json()["items"][0]["name"] == "tiny/method=relora,rank=128"


def test_the_same_idempotency_key_gives_the_same_sweep(
    http: httpx.Client, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "a-key"}
    first = http.post("/v1/sweeps", json=body, headers=headers)
    second = http.post("/v1/sweeps", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


def test_one_wrong_combination_refuses_all(
    http: httpx.Client, backends: Backends, body: dict[str, Any]
) -> None:
    body["grid"]["rank"] = [64, -1]
    response = http.post("/v1/sweeps", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_spec")
    assert response.json()["errors"] == [
        {"path": "grid.rank", "message": "with rank=-1: must be at least 1; got -1"}
    ]
    assert backends.store.list() == []


def test_a_secret_that_the_project_lacks_refuses_all(
    http: httpx.Client, backends: Backends, body: dict[str, Any]
) -> None:
    body["base"]["secrets"] = {"HF_TOKEN": "none"}
    response = http.post("/v1/sweeps", json=body)
    assert [error["path"] for error in response.json()["errors"]] == ["base.secrets.HF_TOKEN"]
    assert backends.store.list() == []


@pytest.mark.parametrize("name", SWEEP_EXAMPLES)
def test_an_example_of_the_documentation_is_accepted_as_it_is(
    http: httpx.Client, name: str
) -> None:
    response = http.post("/v1/sweeps", json=SWEEP_EXAMPLES[name]["value"])
    assert response.status_code == 201
    assert [job["changes"]["method"] for job in response.json()["jobs"]] == [
        "full",
        "lora",
        "relora",
    ]


@pytest.mark.parametrize("part", [{"grid": {}}, {"grdi": {}}, {"base": []}, {"name": ""}])
def test_a_body_that_is_no_sweep_is_refused(
    http: httpx.Client, body: dict[str, Any], part: dict[str, Any]
) -> None:
    response = http.post("/v1/sweeps", json={**body, **part})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_sweeps_are_listed_and_cancelled(http: httpx.Client, body: dict[str, Any]) -> None:
    sweep = http.post("/v1/sweeps", json={**body, "name": "methods"}).json()
    response = http.post(f"/v1/sweeps/{sweep['id']}/cancel")
    assert (response.status_code, response.json()["counts"]) == (202, {"cancelled": 5})
    page = http.get("/v1/sweeps", params={"limit": 1}).json()
    assert [(one["name"], one["counts"]) for one in page["items"]] == [
        ("methods", {"cancelled": 5})
    ]


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel")])
def test_a_sweep_that_is_not_there_is_not_found(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, f"/v1/sweeps/swp_none{path}")
    assert (response.status_code, response.json()["code"]) == (404, "sweep_not_found")
