"""The transactional outbox of messages to the workers.

A message is written in the transaction that queues a job and sent afterwards. So no message is
sent for a job that was not stored, and no stored job lacks its message.
"""

import builtins
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    case,
    delete,
    exists,
    insert,
    null,
    select,
    update,
)

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.jobs import jobs, outbox
from jobs.scheduling.placement import any_gpu
from jobs.scheduling.quotas import waiting_with_room
from jobs.schemas.status import JobStatus

ASK_OTHERS_AFTER_SECONDS = 5.0


@dataclass(frozen=True)
class OutboxEntry:
    """A message that waits to be sent."""

    id: int
    job_id: str
    gpus: int | None  # for workers with so many GPUs; None: for any worker, as none has a GPU
    gpu_class: str | None  # for workers of this class; None: of any


class Outbox:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def unsent(self, limit: int = 100) -> list[OutboxEntry]:
        query = select(outbox.c.id, outbox.c.job_id, _gpus().label("gpus"), jobs.c.gpu_class)
        query = query.join(jobs, jobs.c.id == outbox.c.job_id)
        query = query.where(jobs.c.not_before <= database_now()).order_by(outbox.c.id).limit(limit)
        with self._reads.begin() as connection:
            return [OutboxEntry(*row) for row in connection.execute(query)]

    def mark_sent(self, outbox_id: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.id == outbox_id))

    def notify_where_there_is_room(self) -> int:
        """Queue another message for jobs that waited for their quota and now have room in it.

        Return the number of these jobs.
        """
        with self._reads.begin() as connection:
            ready = connection.scalars(waiting_with_room()).all()
        if not ready:
            return 0
        still = and_(
            jobs.c.id.in_(ready), jobs.c.status == JobStatus.QUEUED, jobs.c.waiting_for_quota
        )
        changes = {"waiting_for_quota": False, "notified_at": database_now()}
        with self._engine.begin() as connection:
            statement = update(jobs).where(still).values(changes).returning(jobs.c.id)
            if notified := connection.scalars(statement).all():
                notify(connection, *notified)
        return len(notified)

    def renotify(self, job_id: str, *, worker: str) -> None:
        """Queue another message for a job that the worker of the last message did not claim.

        That worker claimed another job, or cannot run this one. A job that just failed on this
        worker waits first, so that it is not sent to the worker again and again while the other
        workers are busy.
        """
        waits = and_(
            jobs.c.id == job_id, jobs.c.status == JobStatus.QUEUED, ~jobs.c.waiting_for_quota
        )
        later = case(
            (jobs.c.failed_on == worker, database_now() + ASK_OTHERS_AFTER_SECONDS),
            else_=jobs.c.not_before,
        )
        changes = {"notified_at": database_now(), "not_before": later}
        statement = update(jobs).where(waits).values(changes).returning(jobs.c.id)
        with self._engine.begin() as connection:
            if connection.scalar(statement) is not None:
                notify(connection, job_id)

    def overdue(self, seconds: float) -> builtins.list[tuple[int | None, str | None]]:
        """Return the queues with jobs whose message was sent more than `seconds` ago.

        The jobs are still in the queue. A queue is given as the GPUs and the class of
        `OutboxEntry`.
        """
        query = select(_gpus(), jobs.c.gpu_class).where(_waits_since(seconds)).distinct()
        with self._reads.begin() as connection:
            return [(gpus, gpu_class) for gpus, gpu_class in connection.execute(query)]

    def resend(
        self, older_than_seconds: float, *, gpus: int | None = None, gpu_class: str | None = None
    ) -> int:
        """Queue another message for each job that waits too long, in case the broker lost one.

        Only for jobs of one class, or without one, and, with `gpus`, only for jobs that ask for so
        many GPUs. Return the number of these jobs.
        """
        overdue = and_(
            _waits_since(older_than_seconds), jobs.c.gpu_class.is_not_distinct_from(gpu_class)
        )
        if gpus is not None:
            overdue = and_(overdue, jobs.c.gpus == gpus)
        statement = update(jobs).where(overdue).values(notified_at=database_now())
        with self._engine.begin() as connection:
            waiting = connection.scalars(statement.returning(jobs.c.id)).all()
            if waiting:
                notify(connection, *waiting)
        return len(waiting)


def notify(connection: Connection, *job_ids: str) -> None:
    """Add a message for each job to the outbox. It is sent after this transaction."""
    connection.execute(insert(outbox), [{"job_id": job_id} for job_id in job_ids])


def _gpus() -> ColumnElement[int | None]:
    return case((any_gpu(), jobs.c.gpus), else_=null())


def _waits_since(seconds: float) -> ColumnElement[bool]:
    """Return the SQL condition that a job is queued and its message is older than `seconds`."""
    return and_(
        jobs.c.status == JobStatus.QUEUED,
        ~jobs.c.waiting_for_quota,
        jobs.c.notified_at < database_now() - seconds,
        ~exists().where(outbox.c.job_id == jobs.c.id),
    )
