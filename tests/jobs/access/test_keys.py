"""API keys in both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select, update

from jobs.access.keys import KeyStore
from jobs.access.projects import ProjectStore
from jobs.database.tables.keys import api_keys
from jobs.errors import KeyNotFound, ProjectNotFound
from jobs.schemas.keys import ApiKey, NewKey, Scope
from jobs.schemas.projects import NewProject


@pytest.fixture
def keys(engine: Engine) -> KeyStore:
    return KeyStore(engine)


def set_times(engine: Engine, key: ApiKey, **times: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(times))


def test_a_key_is_found_by_its_secret_which_is_stored_nowhere(
    keys: KeyStore, engine: Engine
) -> None:
    created = keys.create(NewKey(name="sweep", scope=Scope.READ), project="default")
    assert keys.find(created.key) == ApiKey(**created.model_dump(exclude={"key"}))
    with engine.begin() as connection:
        (row,) = connection.execute(select(api_keys))
    assert not [value for value in row if created.key in str(value)]


def test_a_secret_is_256_bits_and_listed_by_its_first_32(keys: KeyStore) -> None:
    created = keys.create(NewKey(name="sweep"), project="default")
    assert created.key.startswith(created.prefix)
    assert len(bytes.fromhex(created.key.removeprefix("rlk_"))) == 32
    assert len(created.prefix) == len("rlk_") + 8


def test_a_secret_that_nobody_has_is_found_nowhere(keys: KeyStore) -> None:
    created = keys.create(NewKey(name="sweep"), project="default")
    assert keys.find(created.key[:-1]) is None
    assert keys.find(created.prefix) is None


def test_a_project_sees_its_own_keys_the_newest_first(
    keys: KeyStore, projects: ProjectStore
) -> None:
    projects.create(NewProject(name="speech"))
    theirs = keys.create(NewKey(name="theirs"), project="speech")
    first, second, third = (keys.create(NewKey(name=n), project="default") for n in "abc")
    assert [key.id for key in keys.list("default", limit=2)] == [third.id, second.id]
    assert [key.id for key in keys.list("default", limit=2, before=second.id)] == [first.id]
    assert keys.get(theirs.id, project="speech").name == "theirs"
    with pytest.raises(KeyNotFound):
        keys.get(theirs.id, project="default")
    assert keys.get(theirs.id, project=None).name == "theirs"


def test_a_key_needs_a_project_that_is_there(keys: KeyStore) -> None:
    with pytest.raises(ProjectNotFound, match="'speech'"):
        keys.create(NewKey(name="sweep"), project="speech")


def test_a_revoked_key_is_gone_but_for_who_asks_for_it(keys: KeyStore) -> None:
    created = keys.create(NewKey(name="sweep"), project="default")
    keys.revoke(created.id)
    with pytest.raises(KeyNotFound):
        keys.get(created.id, project=None)
    with pytest.raises(KeyNotFound):
        keys.revoke(created.id)
    assert keys.list("default", limit=10) == []
    (shown,) = keys.list("default", limit=10, revoked=True)
    assert shown.id == created.id
    assert shown.revoked_at is not None


def test_the_use_of_a_key_is_noted_once_a_minute(keys: KeyStore, engine: Engine) -> None:
    key: ApiKey = keys.create(NewKey(name="sweep"), project="default")
    keys.note_use(key)
    first = keys.get(key.id, project=None).last_used_at
    assert first is not None
    keys.note_use(key)  # as a process does that read the key earlier
    keys.note_use(keys.get(key.id, project=None))
    assert keys.get(key.id, project=None).last_used_at == first
    set_times(engine, key, last_used_at=first - timedelta(minutes=2))
    keys.note_use(keys.get(key.id, project=None))
    noted = keys.get(key.id, project=None).last_used_at
    assert noted is not None
    assert noted > first


def test_only_a_key_that_lets_somebody_in_is_usable(keys: KeyStore, engine: Engine) -> None:
    assert keys.any_usable() is False
    revoked, expired = (keys.create(NewKey(name=n), project="default") for n in "ab")
    keys.revoke(revoked.id)
    set_times(engine, expired, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert keys.any_usable() is False
    keys.create(NewKey(name="c", expires_in_days=0.5), project="default")
    assert keys.any_usable() is True


def test_a_scope_includes_those_before_it() -> None:
    included = {scope.value: [s.value for s in Scope if scope.includes(s)] for scope in Scope}
    assert included == {
        "read": ["read"],
        "write": ["read", "write"],
        "admin": ["read", "write", "admin"],
        "operator": ["read", "write", "admin", "operator"],
    }
