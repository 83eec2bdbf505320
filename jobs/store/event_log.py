"""The event log of a job in the database. Writers must hold the lock of the job's row."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, insert, select, union_all

from jobs.database.tables.jobs import NOT_A_STEP, events
from jobs.schemas.events import AnyJobEvent, Lines
from jobs.store.webhook_outbox import enqueue
from relora_core.events import StepFinished


def search(job_id: str, *, after: int, limit: int, types: Collection[str] | None) -> Select[Any]:
    """Return the query for the first `limit` events of a job with a number above `after`.

    None for `types` selects all types.
    """
    later = select(events).where(events.c.job_id == job_id, events.c.id > after)
    if types is None:
        found = later
    elif StepFinished.model_fields["type"].default in types:
        found = later.where(events.c.type.in_(types))
    else:
        # One query for each type: a query for several types does not use the index of rare events.
        rare = (
            later.where(NOT_A_STEP, events.c.type == one).order_by(events.c.id).limit(limit)
            for one in types
        )
        each = union_all(*(select(one.subquery()) for one in rare)).subquery()
        return select(each).order_by(each.c.id).limit(limit)
    return found.order_by(events.c.id).limit(limit)


def not_recorded(connection: Connection, lines: Lines, *, job_id: str, attempt: int) -> Lines:
    """Return those of `lines` that are not stored for this attempt yet."""
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
    """Store events of a job under the numbers `first`, `first + 1`, ...

    An event of the trainer has a line number; an event of the job itself has None. The same
    transaction queues the events for the webhooks that subscribe to them.
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
