"""The store of a project's named secrets. Jobs use the values; the API never returns them."""

import builtins
from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Engine, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from jobs.database.engine import READ_ONLY
from jobs.database.tables.secrets import secrets
from jobs.errors import SecretNotFound
from jobs.schemas.secrets import Secret
from jobs.secrets.vault import Vault


class SecretStore:
    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)
        self._vault = vault

    def put(self, project: str, name: str, value: str) -> Secret:
        """Store the value of a secret; replace an earlier value."""
        now = datetime.now(UTC)
        changed = {
            "sealed": self._vault.seal(value, project=project, name=name),
            "updated_at": now,
        }
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        statement = (
            insert(secrets)
            .values(project=project, name=name, created_at=now, **changed)
            .on_conflict_do_update(index_elements=["project", "name"], set_=changed)
            .returning(*_SHOWN)
        )
        with self._engine.begin() as connection:
            return Secret.model_validate(connection.execute(statement).one())

    def list(
        self, project: str, *, limit: int = 50, after: str | None = None
    ) -> builtins.list[Secret]:
        """Return secrets, sorted by name. `after` is the last name of the previous page."""
        query = select(*_SHOWN).where(secrets.c.project == project).order_by(secrets.c.name)
        if after is not None:
            query = query.where(secrets.c.name > after)
        with self._reads.begin() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [Secret.model_validate(row) for row in rows]

    def delete(self, project: str, name: str) -> None:
        statement = delete(secrets).where(secrets.c.project == project, secrets.c.name == name)
        with self._engine.begin() as connection:
            if connection.execute(statement).rowcount == 0:
                raise SecretNotFound(name)

    def missing(self, project: str, names: Collection[str]) -> set[str]:
        """Return those of `names` that the project has no secret for."""
        query = select(secrets.c.name).where(_among(project, names))
        with self._reads.begin() as connection:
            return set(names) - set(connection.scalars(query))

    def reveal(self, project: str, names: Collection[str]) -> dict[str, str]:
        """Return the decrypted values by name.

        Raise `SecretNotFound` if a secret is missing, and `SecretsUnavailable` if one cannot be
        decrypted.
        """
        query = select(secrets.c.name, secrets.c.sealed).where(_among(project, names))
        with self._reads.begin() as connection:
            sealed = {row.name: row.sealed for row in connection.execute(query)}
        for name in names:
            if name not in sealed:
                raise SecretNotFound(name)
        return {
            name: self._vault.reveal(value, project=project, name=name)
            for name, value in sealed.items()
        }

    def rotate(self) -> int:
        """Encrypt all secrets with the newest key; return how many no key could decrypt."""
        query = select(secrets.c.project, secrets.c.name, secrets.c.sealed)
        unreadable = 0
        with self._engine.begin() as connection:
            for row in connection.execute(query.with_for_update()).all():
                resealed = self._vault.reseal(row.sealed)
                if resealed is None:
                    unreadable += 1
                    continue
                of_this = (secrets.c.project == row.project, secrets.c.name == row.name)
                connection.execute(update(secrets).where(*of_this).values(sealed=resealed))
        return unreadable


_SHOWN = (secrets.c.name, secrets.c.created_at, secrets.c.updated_at)


def _among(project: str, names: Collection[str]) -> ColumnElement[bool]:
    return and_(secrets.c.project == project, secrets.c.name.in_(names))
