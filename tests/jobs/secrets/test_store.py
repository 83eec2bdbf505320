"""Named secrets of projects, in both databases."""

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from jobs.database.engine import open_engine
from jobs.errors import SecretNotFound
from jobs.secrets.store import SecretStore
from jobs.secrets.vault import Vault

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def secrets(database_url: str) -> Iterator[SecretStore]:
    engine = open_engine(database_url)
    yield SecretStore(engine, Vault(OLD))
    engine.dispose()


def names(secrets: SecretStore, project: str = "default") -> list[str]:
    return [secret.name for secret in secrets.list(project)]


def test_a_value_is_replaced_and_known_since_its_first(secrets: SecretStore) -> None:
    first = secrets.put("default", "token", "one")
    second = secrets.put("default", "token", "two")
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    assert secrets.list("default") == [second]
    assert secrets.reveal("default", {"token"}) == {"token": "two"}


def test_names_are_listed_in_pages_sorted(secrets: SecretStore) -> None:
    for name in ("b", "C", "a"):
        secrets.put("default", name, "value")
    assert names(secrets) == ["C", "a", "b"]
    assert [secret.name for secret in secrets.list("default", limit=1, after="C")] == ["a"]


def test_a_project_sees_its_own_alone(secrets: SecretStore) -> None:
    secrets.put("one", "token", "value")
    assert names(secrets, "two") == []
    assert secrets.missing("two", {"token"}) == {"token"}
    with pytest.raises(SecretNotFound):
        secrets.reveal("two", {"token"})
    with pytest.raises(SecretNotFound):
        secrets.delete("two", "token")
    assert names(secrets, "one") == ["token"]


def test_a_deleted_secret_is_missing(secrets: SecretStore) -> None:
    secrets.put("default", "token", "value")
    secrets.delete("default", "token")
    assert secrets.missing("default", {"token"}) == {"token"}
    with pytest.raises(SecretNotFound, match="There is no secret 'token'"):
        secrets.delete("default", "token")


def test_after_a_rotation_the_new_key_alone_opens_all_that_the_old_one_did(
    secrets: SecretStore, database_url: str
) -> None:
    secrets.put("default", "token", "value")
    engine = open_engine(database_url)
    assert SecretStore(engine, Vault(NEW)).rotate() == 1
    assert SecretStore(engine, Vault(f"{NEW},{OLD}")).rotate() == 0
    assert SecretStore(engine, Vault(NEW)).reveal("default", {"token"}) == {"token": "value"}
    engine.dispose()
