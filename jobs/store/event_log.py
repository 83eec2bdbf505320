"""A job's log in the database. Its writers hold the lock of the job's row."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, insert, select, union_all

from jobs.database.tables.jobs import NOT_A_STEP, events
from jobs.schemas.events import AnyJobEvent, Lines
from jobs.store.webhook_outbox import enqueue
from relora_core.events import StepFinished


def search(job_id: str, *, after: int, limit: int, types: Collection[str] | None) -> Select[Any]:
    """The first `limit` events of a job with a number above `after`, of some types or of all."""
    later = select(events).where(events.c.job_id == job_id, events.c.id > after)
    if types is None:
        found = later
    elif StepFinished.model_fields["type"].default in types:
        found = later.where(events.c.type.in_(types))
    else:
        # Each type alone: of several at once, the index of rare events is not used.
        rare = (
            later.where(NOT_A_STEP, events.c.type == one).order_by(events.c.id).limit(limit)
            for one in types
        )
        each = union_all(*(select(one.subquery()) for one in rare)).subquery()
        return select(each).order_by(each.c.id).limit(limit)
    return found.order_by(events.c.id).limit(limit)


def not_recorded(connection: Connection, lines: Lines, *, job_id: str, attempt: int) -> Lines:
    """Of `lines`, those that this attempt has not stored yet."""
    numbers = [line for line, _ in lines]
    query = select(events.c.line).where(
        events.c.job_id == job_id,
        events.c.attempt == attempt,
        events.c.line.between(min(numbers), max(numbers)),
    )
    stored = set(connection.scalars(query))
    return [(line, event) for line, event in lines if line not in stored]


def record(
    connection: Connection,
    lines: Sequence[tuple[int | None, AnyJobEvent]],
    *,
    job_id: str,
    first: int,
    attempt: int,
) -> None:
    """Store events as numbers `first`, `first + 1`, ... of the job; its own have no line.

    In the same transaction they are put on their way to the webhooks that ask for them.
    """
    rows = [
        {
            "job_id": job_id,
            "id": number,
            "attempt": attempt,
            "line": line,
            "type": event.type,
            "body": event.model_dump_json(exclude={"id", "attempt"}),
        }
        for number, (line, event) in enumerate(lines, start=first)
    ]
    connection.execute(insert(events), rows)
    numbered = (
        event.model_copy(update={"id": number, "attempt": attempt})
        for number, (_, event) in enumerate(lines, start=first)
    )
    enqueue(connection, numbered, job_id=job_id)
