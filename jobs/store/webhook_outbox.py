"""The outbox of webhooks: deliveries are queued in the transaction that records their event."""

import json
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, or_, select

from jobs.database.engine import database_now
from jobs.database.tables.jobs import jobs
from jobs.database.tables.webhooks import deliveries, webhooks
from jobs.errors import TooManyWebhooks
from jobs.schemas.event_patterns import matches
from jobs.schemas.ids import new_id
from jobs.schemas.status import FINAL
from jobs.schemas.webhooks import DeliveryStatus, WebhookSpec
from relora_core.events import Event

GIVE_UP_SECONDS = 24 * 3600.0
TEST_EVENT = "webhook.test"
MAX_OF_JOBS = 1000  # webhooks that all unfinished jobs of a project may have together

_DUE_NOW = insert(deliveries).values(
    status=DeliveryStatus.PENDING,
    attempts=0,
    due_at=database_now(),
    give_up_at=database_now() + GIVE_UP_SECONDS,
)


def attach(
    connection: Connection, spec: WebhookSpec, *, project: str, job_id: str | None = None
) -> Row[*tuple[Any, ...]]:
    """Insert a new webhook, of one job or, without `job_id`, of all jobs of the project."""
    statement = insert(webhooks).values(
        id=new_id("whk_"),
        project=project,
        job_id=job_id,
        url=spec.url,
        events=json.dumps(spec.events),
        secret=spec.secret,
        created_at=datetime.now(UTC),
        failures=0,
        leased_until=0.0,
        tried_at=0.0,
    )
    return connection.execute(statement.returning(webhooks)).one()


def attach_to_job(
    connection: Connection, specs: Collection[WebhookSpec], *, project: str, job_id: str
) -> None:
    """Insert the webhooks of a new job.

    Raise `TooManyWebhooks` if the unfinished jobs of the project would have too many together.
    """
    if not specs:
        return
    of_jobs = select(func.count()).select_from(webhooks).join(jobs, jobs.c.id == webhooks.c.job_id)
    of_jobs = of_jobs.where(webhooks.c.project == project, jobs.c.status.not_in(FINAL))
    if (connection.scalar(of_jobs) or 0) + len(specs) > MAX_OF_JOBS:
        raise TooManyWebhooks(
            f"The jobs of a project that are not over may have {MAX_OF_JOBS} webhooks together; "
            "make one webhook of the project, which hears of all its jobs."
        )
    for spec in specs:
        attach(connection, spec, project=project, job_id=job_id)


def enqueue(connection: Connection, events: Iterable[Event], *, job_id: str) -> None:
    """Queue numbered events of a job for all webhooks that subscribe to them."""
    query = select(webhooks).where(
        webhooks.c.project == select(jobs.c.project).where(jobs.c.id == job_id).scalar_subquery(),
        or_(webhooks.c.job_id.is_(None), webhooks.c.job_id == job_id),
    )
    # With this lock other transactions can change a webhook, but not delete it before this ends.
    listeners = connection.execute(query.with_for_update(read=True, key_share=True)).all()
    if not listeners:
        return
    rows = [row for event in events for row in _to_listeners(event, listeners, job_id)]
    if rows:
        connection.execute(_DUE_NOW, rows)


def enqueue_test(connection: Connection, webhook: Row[*tuple[Any, ...]]) -> Row[*tuple[Any, ...]]:
    """Queue a test event, whichever types of events the webhook subscribes to."""
    event = {"type": TEST_EVENT, "time": datetime.now(UTC).isoformat()}
    row = _delivery(webhook, event, webhook.job_id)
    return connection.execute(_DUE_NOW.values(row).returning(deliveries)).one()


def forget_webhooks(connection: Connection, job_id: str) -> None:
    """Delete the webhooks of a deleted job with their deliveries, sent or not."""
    own = webhooks.c.job_id == job_id
    of_own = exists().where(webhooks.c.id == deliveries.c.webhook_id, own)
    connection.execute(delete(deliveries).where(of_own))
    connection.execute(delete(webhooks).where(own))


def _to_listeners(
    event: Event, listeners: Iterable[Row[*tuple[Any, ...]]], job_id: str
) -> Iterator[dict[str, object]]:
    # Through JSON text, because it writes an infinite float as the string "Infinity".
    document = json.loads(event.model_dump_json(exclude_none=True))
    for webhook in listeners:
        if matches(json.loads(webhook.events), document["type"]):
            yield _delivery(webhook, document, job_id)


def _delivery(
    webhook: Row[*tuple[Any, ...]], event: dict[str, Any], job_id: str | None
) -> dict[str, object]:
    body = {"project": webhook.project, "job_id": job_id, "event": event}
    return {
        "id": new_id("dlv_"),
        "webhook_id": webhook.id,
        "job_id": job_id,
        "event_type": event["type"],
        "event_id": event.get("id"),
        "body": json.dumps(body, allow_nan=False),
        "created_at": datetime.now(UTC),
    }
