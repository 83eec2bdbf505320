"""Idempotency keys: a repeated request with the same `Idempotency-Key` creates nothing twice.

The caller holds the lock of the project's row (`jobs.scheduling.quotas`). So if two requests have
the same key, the second finds what the first created.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from jobs.database.tables.idempotency import idempotency_keys
from jobs.errors import IdempotencyConflict

REMEMBERED = timedelta(hours=24)


@dataclass(frozen=True)
class IdempotentRequest:
    """An idempotency key and the fingerprint of the request body."""

    key: str
    fingerprint: str

    @classmethod
    def of(cls, key: str | None, *parts: str) -> "IdempotentRequest | None":
        """Return the request, or None without a key.

        `parts` are all the values that decide what the request creates.
        """
        if key is None:
            return None
        return cls(key, hashlib.sha256("\0".join(parts).encode()).hexdigest())


def made_before(connection: Connection, project: str, request: IdempotentRequest) -> str | None:
    """Return the id of what an earlier request with this key created, or None.

    Delete the project's keys that are older than a day. Raise `IdempotencyConflict` if the key
    was used with another body.
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


def remember(connection: Connection, project: str, request: IdempotentRequest, made: str) -> None:
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
    """Delete the idempotency key of `made`, which is deleted too. The key can be used again."""
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.made == made))
