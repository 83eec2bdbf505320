"""Keys over HTTP: what an admin of a project may do, and what only an operator."""

from datetime import datetime, timedelta

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.keys import Scope
from jobs.settings import Settings
from tests.service.keys import bearing, make_key, problem


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"authentication": "required"})


@pytest.fixture
def admin(backends: Backends) -> dict[str, str]:
    return bearing(make_key(backends, Scope.ADMIN))


@pytest.fixture
def operator(backends: Backends) -> dict[str, str]:
    return bearing(make_key(backends, Scope.OPERATOR))


def test_a_new_key_is_shown_once_and_works(http: httpx.Client, admin: dict[str, str]) -> None:
    created = http.post("/v1/keys", json={"name": "nightly"}, headers=admin)
    assert created.status_code == 201
    assert created.headers["Cache-Control"] == "no-store"
    key = created.json()
    assert (key["scope"], key["project"], key["expires_at"]) == ("write", "default", None)
    assert created.headers["Location"] == f"/v1/keys/{key['id']}"
    shown = http.get(created.headers["Location"], headers=admin)
    assert shown.json() == {name: value for name, value in key.items() if name != "key"}
    bearer = {"Authorization": f"Bearer {key['key']}"}
    assert http.get("/v1/jobs", headers=bearer).status_code == 200
    assert http.get(created.headers["Location"], headers=admin).json()["last_used_at"] is not None


def test_keys_are_paged_the_newest_first(
    http: httpx.Client, backends: Backends, admin: dict[str, str]
) -> None:
    ids = [make_key(backends).id for _ in range(3)]
    make_key(backends, project="speech")
    page = http.get("/v1/keys?limit=2", headers=admin).json()
    assert [key["id"] for key in page["items"]] == [ids[2], ids[1]]
    page = http.get(f"/v1/keys?limit=2&cursor={page['next']}", headers=admin).json()
    assert page["items"][0]["id"] == ids[0]
    assert "key" not in page["items"][0]


def test_a_revoked_key_is_gone_and_can_still_be_looked_up(
    http: httpx.Client, backends: Backends, admin: dict[str, str]
) -> None:
    key = make_key(backends)
    response = http.delete(f"/v1/keys/{key.id}", headers=admin)
    assert (response.status_code, response.content) == (204, b"")
    assert problem(http.get(f"/v1/keys/{key.id}", headers=admin)) == (404, "key_not_found")
    assert key.id not in {k["id"] for k in http.get("/v1/keys", headers=admin).json()["items"]}
    listed = http.get("/v1/keys?revoked=true", headers=admin).json()["items"][0]
    assert listed["id"] == key.id
    assert listed["revoked_at"] is not None
    assert problem(http.get("/v1/jobs", headers=bearing(key))) == (401, "key_revoked")


def test_a_key_that_writes_manages_no_keys(http: httpx.Client, backends: Backends) -> None:
    headers = bearing(make_key(backends, Scope.WRITE))
    for response in (
        http.get("/v1/keys", headers=headers),
        http.post("/v1/keys", json={"name": "more"}, headers=headers),
    ):
        assert problem(response) == (403, "scope_missing")
        assert "`admin`" in response.json()["detail"]


def test_an_admin_makes_no_key_that_may_do_more(
    http: httpx.Client, backends: Backends, admin: dict[str, str]
) -> None:
    make_key(backends, project="speech")
    for asked in ({"scope": "operator"}, {"project": "speech"}):
        response = http.post("/v1/keys", json={"name": "more", **asked}, headers=admin)
        assert problem(response) == (403, "scope_missing")
        assert "`operator`" in response.json()["detail"]
    assert problem(http.get("/v1/keys?project=speech", headers=admin)) == (403, "scope_missing")


def test_an_admin_revokes_no_operator_and_no_key_of_another_project(
    http: httpx.Client, backends: Backends, admin: dict[str, str]
) -> None:
    above = make_key(backends, Scope.OPERATOR)
    theirs = make_key(backends, project="speech")
    assert problem(http.delete(f"/v1/keys/{above.id}", headers=admin)) == (403, "scope_missing")
    for response in (
        http.delete(f"/v1/keys/{theirs.id}", headers=admin),
        http.get(f"/v1/keys/{theirs.id}", headers=admin),
        http.get("/v1/keys/key_none", headers=admin),
    ):
        assert problem(response) == (404, "key_not_found")
    assert backends.keys.get(above.id, project=None).revoked_at is None
    assert backends.keys.get(theirs.id, project=None).revoked_at is None


def test_an_operator_manages_the_keys_of_every_project(
    http: httpx.Client, backends: Backends, operator: dict[str, str]
) -> None:
    make_key(backends, project="speech")
    body = {"name": "first of speech", "scope": "admin", "project": "speech"}
    created = http.post("/v1/keys", json=body, headers=operator).json()
    assert created["project"] == "speech"
    listed = http.get("/v1/keys?project=speech&limit=1", headers=operator).json()["items"]
    assert [key["id"] for key in listed] == [created["id"]]
    assert http.delete(f"/v1/keys/{created['id']}", headers=operator).status_code == 204


def test_a_key_of_a_project_that_is_not_there_is_refused(
    http: httpx.Client, operator: dict[str, str]
) -> None:
    response = http.post("/v1/keys", json={"name": "a", "project": "speech"}, headers=operator)
    assert problem(response) == (404, "project_not_found")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a", "scope": "root"}, "scope"),
        ({"name": "a", "scopes": ["read"]}, "scopes"),
        ({"name": "a", "expires_in_days": 0}, "expires_in_days"),
    ],
)
def test_a_wrong_key_is_refused_and_explained(
    http: httpx.Client, admin: dict[str, str], body: dict[str, object], path: str
) -> None:
    response = http.post("/v1/keys", json=body, headers=admin)
    assert problem(response) == (422, "invalid_request")
    assert [error["path"] for error in response.json()["errors"]] == [path]


def test_a_key_may_end_by_itself(http: httpx.Client, admin: dict[str, str]) -> None:
    body = {"name": "visitor", "scope": "read", "expires_in_days": 1.5}
    created = http.post("/v1/keys", json=body, headers=admin).json()
    made, ends = (datetime.fromisoformat(created[name]) for name in ("created_at", "expires_at"))
    assert ends - made == timedelta(days=1.5)
