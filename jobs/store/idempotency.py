"""What was made under an `Idempotency-Key`, so that asking again makes nothing twice.

Who makes something under a key holds the lock of the project's row (`jobs.scheduling.quotas`), so
of two requests with the same key the second finds what the first made.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from jobs.database.tables.idempotency import idempotency_keys
from jobs.errors import IdempotencyConflict

REMEMBERED = timedelta(hours=24)


@dataclass(frozen=True)
class Request:
    """What a key stands for: the same body has the same fingerprint."""

    key: str
    fingerprint: str

    @classmethod
    def of(cls, key: str | None, *parts: str) -> "Request | None":
        """None without a key. `parts` are all that decides what is made."""
        if key is None:
            return None
        return cls(key, hashlib.sha256("\0".join(parts).encode()).hexdigest())


def made_before(connection: Connection, project: str, request: Request) -> str | None:
    """The id of what the key made; forgets what is older than a day.

    Raises `IdempotencyConflict` if it was for another body.
    """
    mine = idempotency_keys.c.project == project
    expired = idempotency_keys.c.created_at < datetime.now(UTC) - REMEMBERED
    connection.execute(delete(idempotency_keys).where(mine, expired))
    query = select(idempotency_keys.c.fingerprint, idempotency_keys.c.made)
    query = query.where(mine, idempotency_keys.c.key == request.key)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.fingerprint != request.fingerprint:
        raise IdempotencyConflict(request.key)
    made: str = row.made
    return made


def remember(connection: Connection, project: str, request: Request, made: str) -> None:
    connection.execute(
        insert(idempotency_keys).values(
            project=project,
            key=request.key,
            fingerprint=request.fingerprint,
            made=made,
            created_at=datetime.now(UTC),
        )
    )


def forget(connection: Connection, made: str) -> None:
    """Of something that is deleted: its key may make another."""
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.made == made))
