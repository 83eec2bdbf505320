"""Encryption of secrets at rest: with the newest key; decryption with any configured key.

The cryptography library is imported only if there is a key, because not every program needs it.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import SecretsUnavailable

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

MAKE_A_KEY = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
)


class Vault:
    """Encrypts and decrypts secrets.

    `keys` are Fernet keys separated by commas, the newest first. Without a key every method raises
    `SecretsUnavailable`.
    """

    def __init__(self, keys: str | None) -> None:
        given = [key.strip() for key in (keys or "").split(",") if key.strip()]
        self._fernet = _fernet(given) if given else None

    def seal(self, value: str, *, project: str, name: str) -> str:
        document = json.dumps([project, name, value])
        return self._opened().encrypt(document.encode()).decode()

    def reveal(self, sealed: str, *, project: str, name: str) -> str:
        """Decrypt a value.

        Raise `SecretsUnavailable` if no key decrypts it, or if it was encrypted for another project
        or name and then moved in the database.
        """
        match self._document(sealed):
            case [sealed_for, sealed_as, str(value)] if (sealed_for, sealed_as) == (project, name):
                return value
        raise SecretsUnavailable(
            f"None of RELORA_SECRET_KEYS opens the secret {name!r}; give back the key that it was "
            "stored with, or store it again."
        )

    def reseal(self, sealed: str) -> str | None:
        """Return the value encrypted with the newest key, or None if no key decrypts it."""
        if self._document(sealed) is None:
            return None
        return self._opened().rotate(sealed).decode()

    def _document(self, sealed: str) -> object:
        from cryptography.fernet import InvalidToken

        try:
            return json.loads(self._opened().decrypt(sealed))
        except InvalidToken:
            return None

    def _opened(self) -> "MultiFernet":
        if self._fernet is None:
            raise SecretsUnavailable(
                "This service has no key to encrypt secrets with; its operator sets "
                "RELORA_SECRET_KEYS."
            )
        return self._fernet


def _fernet(keys: list[str]) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:  # its message may show a part of the key
        raise ValueError(
            f"RELORA_SECRET_KEYS holds what is no Fernet key; make one: {MAKE_A_KEY}"
        ) from None


def key_in(file: Path) -> str:
    """Return the keys in a file. If it does not exist, create it with a new key.

    Only the owner of a new file can read it.
    """
    from cryptography.fernet import Fernet

    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text().strip()
    with os.fdopen(descriptor, "w") as writer:
        key = Fernet.generate_key().decode()
        writer.write(key + "\n")
    return key
