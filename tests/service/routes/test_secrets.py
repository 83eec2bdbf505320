"""Secrets over HTTP."""

from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.secrets.vault import Vault

VALUE = "hf_0123456789"


def put(http: httpx.Client, name: str, value: str = VALUE) -> httpx.Response:
    return http.put(f"/v1/secrets/{name}", json={"value": value})


def test_a_secret_is_stored_and_never_shown(http: httpx.Client, backends: Backends) -> None:
    response = put(http, "my-token")
    assert response.status_code == 200
    assert response.json().keys() == {"name", "created_at", "updated_at"}
    assert http.get("/v1/secrets").json() == {"items": [response.json()], "next": None}
    assert backends.secrets.reveal("default", {"my-token"}) == {"my-token": VALUE}


def test_secrets_are_listed_in_pages(http: httpx.Client) -> None:
    for name in ("c", "a", "b"):
        put(http, name)
    first = http.get("/v1/secrets", params={"limit": 2}).json()
    second = http.get("/v1/secrets", params={"limit": 2, "cursor": first["next"]}).json()
    assert [item["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next"] is None


def test_a_secret_is_deleted_once(http: httpx.Client) -> None:
    put(http, "my-token")
    assert http.delete("/v1/secrets/my-token").status_code == 204
    again = http.delete("/v1/secrets/my-token")
    assert (again.status_code, again.json()["code"]) == (404, "secret_not_found")


@pytest.mark.parametrize("body", [{"value": "abc"}, {"value": "two\nlines"}, {"val": VALUE}, {}])
def test_a_value_that_cannot_be_kept_is_refused_without_showing_it(
    http: httpx.Client, body: dict[str, str]
) -> None:
    response = http.put("/v1/secrets/my-token", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert not any(value in response.text for value in body.values())
    assert http.get("/v1/secrets").json()["items"] == []


def test_a_name_that_is_none_is_refused(http: httpx.Client) -> None:
    assert put(http, "-token").status_code == 422


def test_without_a_key_the_service_says_what_its_operator_must_do(
    http: httpx.Client, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends.secrets, "_vault", Vault(None))
    response = put(http, "my-token")
    assert (response.status_code, response.json()["code"]) == (503, "secrets_unavailable")
    assert "RELORA_SECRET_KEYS" in response.json()["detail"]


def test_a_spec_with_an_unknown_secret_is_refused_by_its_field(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    document["secrets"] = {"HF_TOKEN": "my-token"}
    response = http.post("/v1/jobs", json=document)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_spec")
    assert [error["path"] for error in response.json()["errors"]] == ["secrets.HF_TOKEN"]
    assert backends.store.list() == []

    put(http, "my-token")
    assert http.post("/v1/jobs", json=document).status_code == 201


def test_the_value_of_a_secret_is_in_no_answer_about_its_job(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    put(http, "my-token")
    document["secrets"] = {"HF_TOKEN": "my-token"}
    job_id = http.post("/v1/jobs", json=document).json()["id"]
    for path in ("", "/events", "/progress"):
        assert VALUE not in http.get(f"/v1/jobs/{job_id}{path}").text
