"""Messages to the workers: written in the transaction that queues a job, sent afterwards.

So none is sent of a job that was not stored, and none is forgotten of one that was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, delete, exists, insert, select, update

from jobs.database import READ_ONLY, database_now
from jobs.quotas import held_back_with_room
from jobs.status import JobStatus
from jobs.tables import jobs, outbox


@dataclass(frozen=True)
class OutboxEntry:
    """A message that waits to be sent."""

    id: int
    job_id: str


class Outbox:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def unsent(self, limit: int = 100) -> list[OutboxEntry]:
        query = select(outbox.c.id, outbox.c.job_id).order_by(outbox.c.id).limit(limit)
        with self._reads.begin() as connection:
            return [OutboxEntry(row.id, row.job_id) for row in connection.execute(query)]

    def mark_sent(self, outbox_id: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.id == outbox_id))

    def ring_where_there_is_room(self) -> int:
        """Queue another message for jobs that were held back, as far as their quotas go."""
        with self._reads.begin() as connection:
            ready = connection.scalars(held_back_with_room()).all()
        if not ready:
            return 0
        still = and_(jobs.c.id.in_(ready), jobs.c.status == JobStatus.QUEUED, jobs.c.held_back)
        changes = {"held_back": False, "rung_at": database_now()}
        with self._engine.begin() as connection:
            statement = update(jobs).where(still).values(changes).returning(jobs.c.id)
            if rung := connection.scalars(statement).all():
                ring(connection, *rung)
        return len(rung)

    def ring_again(self, older_than_seconds: float) -> int:
        """For when the broker lost messages: queue another for each job that waits so long."""
        with self._engine.begin() as connection:
            waiting = _rung_before(connection, older_than_seconds)
            if waiting:
                ring(connection, *waiting)
        return len(waiting)


def ring(connection: Connection, *job_ids: str) -> None:
    """Leave a message for the worker pool, to be sent when this transaction is done."""
    connection.execute(insert(outbox), [{"job_id": job_id} for job_id in job_ids])


def _rung_before(connection: Connection, seconds: float) -> Sequence[str]:
    """Queued jobs whose message was sent longer ago; they count as rung for now."""
    waiting = and_(
        jobs.c.status == JobStatus.QUEUED,
        ~jobs.c.held_back,
        jobs.c.rung_at < database_now() - seconds,
        ~exists().where(outbox.c.job_id == jobs.c.id),
    )
    statement = update(jobs).where(waiting).values(rung_at=database_now())
    return connection.scalars(statement.returning(jobs.c.id)).all()
