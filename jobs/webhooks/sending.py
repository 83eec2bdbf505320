"""The queue of webhook deliveries for the senders.

One sender at a time holds a webhook, under a lease, and sends its events in order, as far as
retries allow. A webhook that does not answer blocks one place of the sender for one request at a
time. If a sender crashes after a request and before it records the result, the request is sent
again (at-least-once delivery).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Connection,
    Engine,
    ScalarSelect,
    and_,
    case,
    cast,
    delete,
    func,
    literal,
    null,
    select,
    update,
)

from jobs.backoff import Backoff
from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.jobs import jobs
from jobs.database.tables.webhooks import deliveries, webhooks
from jobs.schemas.events import JobWarned
from jobs.schemas.status import FINAL
from jobs.schemas.webhooks import DeliveryStatus
from jobs.store.transitions import announce, change

LEASE_SECONDS = 60.0
PLACES_OF_PROJECT = 2  # how many webhooks of a project are sent to at the same time
BACKOFF = Backoff(first=10.0, longest=4 * 3600.0, factor=3.0)
KEPT = timedelta(days=30)  # how long the log keeps a finished delivery
WARN_AFTER = 5  # failures in a row, which take some minutes


@dataclass(frozen=True)
class Endpoint:
    """A webhook that a sender has claimed."""

    id: str
    project: str
    url: str
    secret: str


@dataclass(frozen=True)
class DueDelivery:
    """A delivery that is due. `attempts` is the number of attempts so far."""

    id: str
    body: str = field(repr=False)
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt. If it has an error, the attempt failed."""

    status: int | None = None
    error: str | None = None


class DeliveryQueue:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def claim(self, limit: int) -> list[Endpoint]:
        """Claim up to `limit` webhooks that have due deliveries and that no other sender holds.

        At most `PLACES_OF_PROJECT` webhooks of a project are claimed at the same time, so that no
        project blocks the others.
        """
        due = (
            select(deliveries.c.webhook_id)
            .where(deliveries.c.status == DeliveryStatus.PENDING)
            .where(deliveries.c.due_at <= database_now())
        )
        free = webhooks.c.leased_until < database_now()
        place = func.row_number().over(
            partition_by=webhooks.c.project, order_by=(webhooks.c.tried_at, webhooks.c.id)
        )
        waiting = (
            select(webhooks.c.id, webhooks.c.tried_at, (place + _leased()).label("place"))
            .where(free, webhooks.c.id.in_(due))
            .subquery()
        )
        query = (
            select(waiting.c.id)
            .where(waiting.c.place <= PLACES_OF_PROJECT)
            .order_by(waiting.c.tried_at)
            .limit(limit)
        )
        with self._reads.begin() as connection:  # usually nothing is due, and no lock is needed
            ids = connection.scalars(query).all()
        if not ids:
            return []
        statement = (
            update(webhooks)
            .where(webhooks.c.id.in_(ids), free)
            .values(leased_until=database_now() + LEASE_SECONDS, tried_at=database_now())
            .returning(webhooks)
        )
        with self._engine.begin() as connection:
            rows = connection.execute(statement).all()
        return [Endpoint(row.id, row.project, row.url, row.secret) for row in rows]

    def due(self, endpoint: Endpoint) -> DueDelivery | None:
        """Return the oldest due delivery of a claimed webhook, or None."""
        query = (
            select(deliveries)
            .where(deliveries.c.webhook_id == endpoint.id)
            .where(deliveries.c.status == DeliveryStatus.PENDING)
            .where(deliveries.c.due_at <= database_now())
            .order_by(deliveries.c.id)
            .limit(1)
        )
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return DueDelivery(row.id, row.body, row.attempts)

    def settle(self, endpoint: Endpoint, delivery: DueDelivery, outcome: Outcome) -> None:
        """Record the result of an attempt in the log, and schedule the next attempt if needed."""
        with self._engine.begin() as connection:
            if _note(connection, delivery, outcome):
                _count(connection, endpoint, outcome)

    def release(self, endpoint: Endpoint) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                update(webhooks).where(webhooks.c.id == endpoint.id).values(leased_until=0.0)
            )

    def delete_old(self) -> None:
        """Delete deliveries from the log that ended more than `KEPT` ago."""
        old = deliveries.c.finished_at < datetime.now(UTC) - KEPT
        with self._engine.begin() as connection:
            connection.execute(delete(deliveries).where(old))


def _leased() -> ScalarSelect[int]:
    """Return the SQL count of the webhooks of the same project that senders hold now."""
    others = webhooks.alias("others")
    mine = others.c.project == webhooks.c.project
    count = select(func.count()).where(mine, others.c.leased_until >= database_now())
    return count.correlate(webhooks).scalar_subquery()


def _note(connection: Connection, delivery: DueDelivery, outcome: Outcome) -> bool:
    """Record the result of an attempt.

    Return False if another sender recorded one before, or if the webhook was deleted.
    """
    due = and_(
        deliveries.c.id == delivery.id,
        deliveries.c.status == DeliveryStatus.PENDING,
        deliveries.c.attempts == delivery.attempts,
    )
    values = {
        "attempts": delivery.attempts + 1,
        "error": outcome.error,
        "response_status": outcome.status,
        **(_delivered() if outcome.error is None else _postponed(delivery.attempts)),
    }
    return connection.execute(update(deliveries).where(due).values(values)).rowcount == 1


def _delivered() -> dict[str, object]:
    return {"status": DeliveryStatus.DELIVERED, "finished_at": datetime.now(UTC)}


def _postponed(attempts: int) -> dict[str, object]:
    """Return the changes that postpone a delivery, or fail it if its time is over."""
    due_at = database_now() + BACKOFF.wait(attempts + 1)
    too_late = due_at > deliveries.c.give_up_at
    now = literal(datetime.now(UTC), deliveries.c.finished_at.type)
    kind = deliveries.c.status.type
    given_up, waits = cast(DeliveryStatus.FAILED, kind), cast(DeliveryStatus.PENDING, kind)
    return {
        "due_at": due_at,
        "status": case((too_late, given_up), else_=waits),
        "finished_at": case((too_late, now), else_=null()),
    }


def _count(connection: Connection, endpoint: Endpoint, outcome: Outcome) -> None:
    """Count the consecutive failures of a webhook.

    After `WARN_AFTER` failures, warn the webhook's job once, if the job is not over.
    """
    this = update(webhooks).where(webhooks.c.id == endpoint.id)
    if outcome.error is None:
        connection.execute(this.where(webhooks.c.failures > 0).values(_WORKS))
        return
    now = literal(datetime.now(UTC), webhooks.c.failing_since.type)
    failing = {
        "failures": webhooks.c.failures + 1,
        "failing_since": func.coalesce(webhooks.c.failing_since, now),
    }
    row = connection.execute(this.values(failing).returning(webhooks)).one_or_none()
    if row is not None and row.job_id is not None and row.failures == WARN_AFTER:
        _warn(connection, row.job_id, endpoint)


_WORKS = {"failures": 0, "failing_since": None}


def _warn(connection: Connection, job_id: str, endpoint: Endpoint) -> None:
    unfinished = jobs.c.status.not_in(FINAL)
    row = change(connection, job_id, unfinished, last_event=jobs.c.last_event + 1)
    if row is not None:
        message = (
            f"the webhook {endpoint.id} has failed {WARN_AFTER} times in a row; "
            f"`relora webhooks deliveries {endpoint.id}` says why"
        )
        announce(connection, row, JobWarned(code="webhook_failing", message=message))
