"""Status transitions of a job, as guarded UPDATE statements that check and write in one step.

No function reads a status first and writes it afterwards. So if two processes transition a job at
the same time, only one succeeds. Each function returns the row after the change, or None if the
guard was false. The row stays locked for the rest of the transaction.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    update,
)

from jobs.backoff import Backoff
from jobs.database.columns import UtcDateTime
from jobs.database.engine import database_now
from jobs.database.row_mapping import progress_document, progress_from
from jobs.database.tables.jobs import jobs
from jobs.scheduling.outbox import notify
from jobs.schemas.events import (
    ActionRequested,
    AnyStatusEvent,
    JobCancelled,
    JobFailed,
    JobPaused,
    JobQueued,
    JobRetrying,
    JobSucceeded,
    ProfileRequested,
)
from jobs.schemas.job import JobSpec, Progress
from jobs.schemas.status import FINAL, LEASED, JobError, JobStatus, RequestedAction, sources
from jobs.store import event_log
from jobs.store.labels import set_labels
from jobs.store.origin import DIRECT, Origin
from jobs.store.webhook_outbox import attach_to_job

JobRow = Row[*tuple[Any, ...]]
Target = ColumnElement[JobStatus]

BACKOFF = Backoff(first=2.0, longest=300.0)  # the pause before the next attempt
FULFILLED = {RequestedAction.CANCEL: JobStatus.CANCELLED, RequestedAction.PAUSE: JobStatus.PAUSED}


def leased_by(attempt: int) -> ColumnElement[bool]:
    """Return the SQL condition that this attempt holds the job (the fence)."""
    return and_(jobs.c.attempt == attempt, jobs.c.status.in_(LEASED))


def can_become(target: JobStatus) -> ColumnElement[bool]:
    return jobs.c.status.in_(sources(target))


def to(status: JobStatus) -> Target:
    return cast(status, jobs.c.status.type)  # PostgreSQL cannot infer the type of a plain string


def requested_or(otherwise: Target) -> Target:
    """Return the status of the action that a person requested, or `otherwise` without one."""
    return case(
        *((jobs.c.requested_action == action, to(status)) for action, status in FULFILLED.items()),
        else_=otherwise,
    )


def add(
    connection: Connection,
    job_id: str,
    spec: JobSpec,
    *,
    project: str,
    origin: Origin = DIRECT,
) -> JobRow:
    """Insert a new queued job with its labels and webhooks, and reserve event number 1."""
    now = datetime.now(UTC)
    progress = Progress(status=JobStatus.QUEUED, total_steps=spec.total_steps, updated_at=now)
    statement = insert(jobs).values(
        id=job_id,
        project=project,
        status=JobStatus.QUEUED,
        attempt=0,
        failed_attempts=0,
        max_attempts=spec.retries.max_attempts,
        gpus=spec.resources.gpus,
        gpu_class=spec.resources.gpu,
        priority=spec.priority,
        method=spec.method.name,
        forked_from=origin.forked_from,
        with_keys=origin.with_keys,
        spec=spec.model_dump_json(),
        progress=progress_document(progress),
        last_event=1,
        notified_at=database_now(),
        created_at=now,
        updated_at=now,
    )
    row = connection.execute(statement.returning(jobs)).one()
    set_labels(connection, job_id, spec.labels)
    attach_to_job(connection, spec.webhooks, project=project, job_id=job_id)
    return row


def change(
    connection: Connection, job_id: str, guard: ColumnElement[bool], **values: object
) -> JobRow | None:
    values = {"updated_at": datetime.now(UTC), **values}
    statement = update(jobs).where(jobs.c.id == job_id, guard).values(values).returning(jobs)
    return connection.execute(statement).one_or_none()


def announce(connection: Connection, row: JobRow, event: AnyStatusEvent) -> None:
    """Log the event of a change, which reserved its number with `last_event + 1`."""
    event_log.record(
        connection, [(None, event)], job_id=row.id, first=row.last_event, attempt=row.attempt
    )


def transition(
    connection: Connection,
    job_id: str,
    target: JobStatus,
    *guards: ColumnElement[bool],
    **values: object,
) -> JobRow | None:
    """Move the job to `target` if the table of transitions and the guards allow it.

    It reserves the number of one event, which the caller must announce.
    """
    return change(
        connection,
        job_id,
        and_(can_become(target), *guards),
        status=target,
        last_event=jobs.c.last_event + 1,
        **values,
    )


def request_action(connection: Connection, job_id: str, action: RequestedAction) -> JobRow | None:
    """Do the action at once if no worker holds the job, else store the request for the worker.

    A request to pause does not replace an earlier request to cancel.
    """
    leased = jobs.c.status.in_(LEASED)
    target = case((leased, jobs.c.status), else_=to(FULFILLED[action]))
    asked = jobs.c.requested_action
    replaceable = and_(
        asked.is_distinct_from(action), asked.is_distinct_from(RequestedAction.CANCEL)
    )
    row = change(
        connection,
        job_id,
        and_(can_become(FULFILLED[action]), replaceable),
        status=target,
        requested_action=case((leased, literal(action, asked.type)), else_=null()),
        finished_at=_if_final(target),
        last_event=jobs.c.last_event + 1,
    )
    if row is not None:
        made = ActionRequested(action=action.value) if row.status in LEASED else _ending(row, None)
        announce(connection, row, made)
    return row


def request_profile(connection: Connection, job_id: str, steps: int) -> JobRow | None:
    """Store the request for the worker, if one holds the job and no other request waits."""
    number = jobs.c.last_event + 1
    row = change(
        connection,
        job_id,
        and_(jobs.c.status.in_(LEASED), jobs.c.profile_event.is_(None)),
        profile_steps=steps,
        profile_event=number,
        last_event=number,
    )
    if row is not None:
        announce(connection, row, ProfileRequested(steps=steps))
    return row


def gpu_seconds_so_far() -> dict[str, ColumnElement[float]]:
    """Return the changes that count the GPU seconds of the current attempt until now."""
    now = database_now()
    return {
        "gpu_seconds": jobs.c.gpu_seconds
        + jobs.c.held_gpus * (now - func.coalesce(jobs.c.counted_at, now)),
        "counted_at": now,
    }


def release(
    connection: Connection,
    job_id: str,
    guard: ColumnElement[bool],
    target: Target,
    error: JobError | None = None,
    *,
    counter: Column[int] = jobs.c.failed_attempts,
) -> JobRow | None:
    """End an attempt: move the job to `target`, and notify the workers if it is queued again.

    An attempt that ended with an error is counted in `counter`, and the job waits before the next
    attempt.
    """
    document = error.model_dump_json() if error else None
    setback = {} if error is None else _setback(counter)
    row = change(
        connection,
        job_id,
        guard,
        status=target,
        requested_action=None,
        worker=None,
        lease_until=None,
        notified_at=database_now(),
        error=case((target == JobStatus.FAILED, literal(document)), else_=null()),
        finished_at=_if_final(target),
        last_event=jobs.c.last_event + 1,
        held_gpus=0,
        **gpu_seconds_so_far(),
        **setback,
    )
    if row is not None:
        announce(connection, row, _ending(row, error))
        if row.status is JobStatus.QUEUED:
            notify(connection, job_id)
    return row


def _setback(counter: Column[int]) -> dict[str, object]:
    """Return the changes of a failed attempt: count it and set the pause before the next one."""
    pause = case(dict(enumerate(BACKOFF.growing())), value=counter, else_=BACKOFF.longest)
    return {
        counter.name: counter + 1,
        "failed_on": jobs.c.worker,
        "not_before": database_now() + pause * BACKOFF.jitter(),
    }


def _if_final(target: Target) -> ColumnElement[datetime | None]:
    return case((target.in_(FINAL), literal(datetime.now(UTC), UtcDateTime())), else_=null())


def _ending(row: JobRow, error: JobError | None) -> AnyStatusEvent:
    """Return the event for a job that no worker holds any more."""
    match row.status:
        case JobStatus.QUEUED if error:
            return JobRetrying(
                reason=error,
                next_attempt=row.attempt + 1,
                failed_attempts=row.failed_attempts,
                max_attempts=row.max_attempts,
            )
        case JobStatus.QUEUED:
            return JobQueued(reason="worker_left")
        case JobStatus.PAUSED:
            return JobPaused()
        case JobStatus.CANCELLED:
            return JobCancelled()
        case JobStatus.FAILED if error:
            return JobFailed(error=error)
        case JobStatus.SUCCEEDED:
            return JobSucceeded(stop_reason=progress_from(row).stop_reason)
        case status:
            raise ValueError(f"an attempt cannot end as {status} with error {error!r}")
