"""A job's log in the database. Its writers hold the lock of the job's row."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from jobs.events import AnyJobEvent
from jobs.tables import events
from relora_core.events import AnyTrainEvent

Lines = Sequence[tuple[int, AnyTrainEvent]]  # of a trainer's events.jsonl, by their number


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
    """Store events as numbers `first`, `first + 1`, ... of the job; its own have no line."""
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
