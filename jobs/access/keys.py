"""The store of API keys in the database."""

import builtins
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Engine, and_, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from jobs.access.key_secret import digest_of, new_secret, prefix_of
from jobs.database.engine import READ_ONLY
from jobs.database.tables.keys import api_keys
from jobs.errors import KeyNotFound, ProjectNotFound
from jobs.schemas.ids import new_id
from jobs.schemas.keys import ApiKey, CreatedKey, NewKey

USE_IS_NOTED_EVERY = timedelta(minutes=1)


class KeyStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, new: NewKey, *, project: str) -> CreatedKey:
        """Create a key in `project`; ignore the project that `new` names.

        Raise `ProjectNotFound` if there is no such project.
        """
        secret, now = new_secret(), datetime.now(UTC)
        days = new.expires_in_days
        statement = insert(api_keys).values(
            id=new_id("key_"),
            project=project,
            name=new.name,
            scope=new.scope,
            prefix=prefix_of(secret),
            digest=digest_of(secret),
            created_at=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        try:
            with self._engine.begin() as connection:
                row = connection.execute(statement.returning(api_keys)).one()
        except IntegrityError:
            raise ProjectNotFound(project) from None
        return CreatedKey(**dict(ApiKey.model_validate(row)), key=secret)

    def list(
        self, project: str, *, limit: int, before: str | None = None, revoked: bool = False
    ) -> builtins.list[ApiKey]:
        """Return the keys of a project, the newest first; with `revoked`, the revoked keys too."""
        query = select(api_keys).where(api_keys.c.project == project)
        if before is not None:
            query = query.where(api_keys.c.id < before)
        if not revoked:
            query = query.where(api_keys.c.revoked_at.is_(None))
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(api_keys.c.id.desc()).limit(limit))
            return [ApiKey.model_validate(row) for row in rows]

    def get(self, key_id: str, *, project: str | None) -> ApiKey:
        """Return a key that is not revoked, of `project` or, with None, of any project."""
        query = select(api_keys).where(_unrevoked(key_id))
        if project is not None:
            query = query.where(api_keys.c.project == project)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise KeyNotFound(key_id)
        return ApiKey.model_validate(row)

    def revoke(self, key_id: str) -> None:
        """Revoke a key forever. Its row stays and keeps the time."""
        statement = update(api_keys).where(_unrevoked(key_id)).values(revoked_at=datetime.now(UTC))
        with self._engine.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise KeyNotFound(key_id)

    def find(self, secret: str) -> ApiKey | None:
        """Return the key with this secret, or None. The key may be revoked or expired."""
        query = select(api_keys).where(api_keys.c.digest == digest_of(secret))
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
        return ApiKey.model_validate(row) if row is not None else None

    def note_use(self, key: ApiKey) -> None:
        """Record that a key was used, at most once a minute, so that few requests need a write."""
        now = datetime.now(UTC)
        before = now - USE_IS_NOTED_EVERY
        if key.last_used_at is not None and key.last_used_at > before:
            return
        last = api_keys.c.last_used_at
        due = and_(api_keys.c.id == key.id, or_(last.is_(None), last <= before))
        with self._engine.begin() as connection:
            connection.execute(update(api_keys).where(due).values(last_used_at=now))

    def any_usable(self) -> bool:
        """Return whether there is a key that is neither revoked nor expired."""
        usable = and_(
            api_keys.c.revoked_at.is_(None),
            or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > datetime.now(UTC)),
        )
        with self._reads.begin() as connection:
            return bool(connection.scalar(select(exists().where(usable))))


def _unrevoked(key_id: str) -> ColumnElement[bool]:
    return and_(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
