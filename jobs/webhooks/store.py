"""The store of webhooks for the API, with the log of their deliveries."""

import builtins
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select, update

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.webhooks import deliveries, webhooks
from jobs.errors import DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from jobs.scheduling.quotas import lock_project
from jobs.schemas.webhooks import Delivery, DeliveryStatus, Webhook, WebhookSpec
from jobs.store.webhook_outbox import GIVE_UP_SECONDS, attach, enqueue_test

MAX_OF_PROJECT = 100  # each event of each job is matched against each of them


class WebhookStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, project: str, spec: WebhookSpec) -> Webhook:
        """Create a webhook for the future events of all jobs of the project.

        Raise `ProjectNotFound` if there is no such project, and `TooManyWebhooks` if it has
        `MAX_OF_PROJECT` webhooks already.
        """
        of_project = (webhooks.c.project == project, webhooks.c.job_id.is_(None))
        with self._engine.begin() as connection:
            lock_project(connection, project)  # only one request at a time counts and inserts
            used = connection.scalar(select(func.count()).where(*of_project)) or 0
            if used >= MAX_OF_PROJECT:
                raise TooManyWebhooks(
                    f"A project may have {MAX_OF_PROJECT} webhooks; delete one that is not needed."
                )
            return _webhook_from(attach(connection, spec, project=project))

    def get(self, project: str, webhook_id: str) -> Webhook:
        with self._reads.begin() as connection:
            return _webhook_from(_get(connection, project, webhook_id))

    def list(
        self,
        project: str,
        *,
        job_id: str | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> builtins.list[Webhook]:
        """Return the webhooks of the project, or those of one of its jobs, the newest first."""
        query = select(webhooks).where(webhooks.c.project == project)
        query = query.where(webhooks.c.job_id.is_not_distinct_from(job_id))
        if before is not None:
            query = query.where(webhooks.c.id < before)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(webhooks.c.id.desc()).limit(limit))
            return [_webhook_from(row) for row in rows]

    def delete(self, project: str, webhook_id: str) -> None:
        """Delete a webhook with its deliveries. Pending deliveries are not sent."""
        with self._engine.begin() as connection:
            _get(connection, project, webhook_id)
            connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
            connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))

    def deliveries(
        self,
        project: str,
        webhook_id: str,
        *,
        status: DeliveryStatus | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> builtins.list[Delivery]:
        """Return the deliveries of a webhook, the newest first."""
        query = select(deliveries).where(deliveries.c.webhook_id == webhook_id)
        if status is not None:
            query = query.where(deliveries.c.status == status)
        if before is not None:
            query = query.where(deliveries.c.id < before)
        with self._reads.begin() as connection:
            _get(connection, project, webhook_id)
            rows = connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit))
            return [_delivery_from(row) for row in rows]

    def test(self, project: str, webhook_id: str) -> Delivery:
        """Queue a test event, which is not in the event log of any job."""
        with self._engine.begin() as connection:
            webhook = _get(connection, project, webhook_id)
            return _delivery_from(enqueue_test(connection, webhook))

    def redeliver(self, project: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Queue a delivery again, to be sent at once, whatever its status is."""
        this = (deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
        again = {
            "status": DeliveryStatus.PENDING,
            "due_at": database_now(),
            "give_up_at": database_now() + GIVE_UP_SECONDS,
            "finished_at": None,
        }
        with self._engine.begin() as connection:
            _get(connection, project, webhook_id)
            statement = update(deliveries).where(*this).values(again).returning(deliveries)
            row = connection.execute(statement).one_or_none()
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return _delivery_from(row)


def _get(connection: Connection, project: str, webhook_id: str) -> Row[*tuple[Any, ...]]:
    query = select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.project == project)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return row


def _webhook_from(row: Row[*tuple[Any, ...]]) -> Webhook:
    return Webhook(
        id=row.id,
        job_id=row.job_id,
        url=row.url,
        events=json.loads(row.events),
        secret=row.secret,
        created_at=row.created_at,
        failing_since=row.failing_since,
    )


def _delivery_from(row: Row[*tuple[Any, ...]]) -> Delivery:
    pending = row.status is DeliveryStatus.PENDING
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        job_id=row.job_id,
        event_type=row.event_type,
        event_id=row.event_id,
        status=row.status,
        attempts=row.attempts,
        next_attempt_at=datetime.fromtimestamp(row.due_at, UTC) if pending else None,
        response_status=row.response_status,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
