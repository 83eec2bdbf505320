"""A browser signs in with a key, which it then sends as a cookie."""

from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.keys import CreatedKey, Scope
from jobs.settings import Settings
from tests.service.keys import bearing, make_key, problem


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"authentication": "required"})


@pytest.fixture
def key(backends: Backends) -> CreatedKey:
    return make_key(backends)


def sign_in(http: httpx.Client, key: CreatedKey, **headers: str) -> httpx.Response:
    response = http.post("/v1/session", headers=bearing(key) | headers)
    assert response.status_code == 200, response.text
    return response


def cookie_of(response: httpx.Response) -> Any:
    ((_, cookie),) = SimpleCookie(response.headers["Set-Cookie"]).items()
    return cookie


def same_origin(http: httpx.Client) -> dict[str, str]:
    return {"Origin": str(http.base_url).rstrip("/")}


def test_whoever_signed_in_sees_the_project_of_the_key(
    http: httpx.Client, backends: Backends
) -> None:
    key = make_key(backends, Scope.READ, project="other")
    expected = {"project": "other", "scope": "read", "key_id": key.id}
    assert sign_in(http, key).json() == expected
    assert http.get("/v1/session").json() == expected
    assert http.get("/v1/jobs").json()["items"] == []


def test_no_script_and_no_other_site_gets_the_cookie(http: httpx.Client, key: CreatedKey) -> None:
    cookie = cookie_of(sign_in(http, key))
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    assert not cookie["path"]  # the browser takes the address of the API
    assert not cookie["max-age"]
    assert not cookie["expires"]


@pytest.mark.parametrize(
    ("origin", "secure"), [("https://relora.example", True), ("http://relora.example", False)]
)
def test_behind_tls_the_cookie_goes_over_tls_alone(
    http: httpx.Client, key: CreatedKey, origin: str, *, secure: bool
) -> None:
    assert bool(cookie_of(sign_in(http, key, Origin=origin))["secure"]) is secure


def test_two_services_of_one_machine_have_cookies_of_their_own(
    http: httpx.Client, key: CreatedKey
) -> None:
    names = [
        cookie_of(sign_in(http, key, Host=host)).key
        for host in ("localhost:8000", "localhost:8001", "[::1]:1", "relora.example")
    ]
    assert names == ["relora_key_8000", "relora_key_8001", "relora_key_1", "relora_key"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
def test_a_cookie_changes_something_only_from_a_page_of_the_service(
    http: httpx.Client, key: CreatedKey, job: Job, headers: dict[str, str]
) -> None:
    sign_in(http, key)
    cancel = f"/v1/jobs/{job.id}/cancel"
    assert problem(http.post(cancel, headers=headers)) == (403, "foreign_origin")
    assert http.get(f"/v1/jobs/{job.id}").json()["status"] == "queued"
    assert http.post(cancel, headers=same_origin(http)).status_code == 202


def test_a_cookie_has_the_scope_of_its_key(
    http: httpx.Client, backends: Backends, job: Job
) -> None:
    sign_in(http, make_key(backends, Scope.READ))
    refused = http.post(f"/v1/jobs/{job.id}/cancel", headers=same_origin(http))
    assert problem(refused) == (403, "scope_missing")


def test_a_key_in_the_header_counts_more_than_the_cookie(
    http: httpx.Client, backends: Backends, key: CreatedKey
) -> None:
    sign_in(http, key)
    other = make_key(backends, project="other")
    assert http.get("/v1/session", headers=bearing(other)).json()["project"] == "other"


def test_after_signing_out_a_key_is_wanted(http: httpx.Client, key: CreatedKey) -> None:
    sign_in(http, key)
    assert http.delete("/v1/session", headers=same_origin(http)).status_code == 204
    assert not http.cookies
    assert problem(http.get("/v1/session")) == (401, "key_required")


def test_a_cookie_whose_key_was_revoked_is_refused_and_deleted(
    http: httpx.Client, backends: Backends, key: CreatedKey
) -> None:
    sign_in(http, key)
    admin = bearing(make_key(backends, Scope.ADMIN))
    assert http.delete(f"/v1/keys/{key.id}", headers=admin).status_code == 204
    assert problem(http.get("/v1/session")) == (401, "key_revoked")
    assert not http.cookies


def test_a_key_that_is_not_valid_signs_nobody_in(http: httpx.Client) -> None:
    response = http.post("/v1/session", headers={"Authorization": "Bearer rlk_no"})
    assert problem(response) == (401, "key_unknown")
    assert "Set-Cookie" not in response.headers


def test_where_no_key_is_needed_everybody_has_a_session(open_url: str) -> None:
    expected = {"project": "default", "scope": "operator", "key_id": None}
    assert httpx.get(f"{open_url}/v1/session").json() == expected
    response = httpx.post(f"{open_url}/v1/session")
    assert response.json() == expected
    assert "Set-Cookie" not in response.headers
