"""The encryption of secrets at rest."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from jobs.errors import SecretsUnavailable
from jobs.secrets.vault import Vault, key_in

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
PLACE = {"project": "default", "name": "token"}


def test_what_is_stored_does_not_show_the_value() -> None:
    sealed = Vault(OLD).seal("hf_0123", **PLACE)
    assert "hf_0123" not in sealed
    assert Vault(OLD).reveal(sealed, **PLACE) == "hf_0123"


def test_a_key_is_replaced_by_another_while_the_old_one_still_opens() -> None:
    sealed = Vault(OLD).seal("hf_0123", **PLACE)
    both = Vault(f"{NEW}, {OLD}")
    resealed = both.reseal(sealed)
    assert both.reveal(sealed, **PLACE) == "hf_0123"
    assert resealed is not None
    assert Vault(NEW).reveal(resealed, **PLACE) == "hf_0123"
    assert Vault(NEW).reseal(sealed) is None


def test_without_the_key_it_stays_shut_and_says_what_to_do() -> None:
    sealed = Vault(OLD).seal("hf_0123", **PLACE)
    with pytest.raises(SecretsUnavailable, match=r"None of RELORA_SECRET_KEYS opens .*'token'"):
        Vault(NEW).reveal(sealed, **PLACE)
    with pytest.raises(SecretsUnavailable, match="its operator sets RELORA_SECRET_KEYS"):
        Vault(None).seal("hf_0123", **PLACE)


@pytest.mark.parametrize("moved_to", [{"project": "other"}, {"name": "other"}])
def test_a_value_that_was_moved_in_the_database_is_refused(moved_to: dict[str, str]) -> None:
    sealed = Vault(OLD).seal("hf_0123", **PLACE)
    with pytest.raises(SecretsUnavailable):
        Vault(OLD).reveal(sealed, **{**PLACE, **moved_to})


def test_what_is_no_key_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="RELORA_SECRET_KEYS holds what is no Fernet key") as error:
        Vault("hunter2")
    assert "hunter2" not in str(error.value)


def test_a_key_that_is_made_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secret.key"
    key = key_in(file)
    assert key_in(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
