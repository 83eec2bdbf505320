"""The store of jobs for the API, in SQLite or PostgreSQL. It is the single source of truth.

Every method is one transaction. The events of a job have the numbers 1, 2, 3, ... without gaps.
They are assigned while the job's row is locked. So a reader who has seen an event has seen all
events before it.
"""

import builtins
from collections.abc import Collection
from typing import Any, Literal

from sqlalchemy import Column, Connection, Engine, and_, delete, select, text, true, update

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.row_mapping import (
    PROGRESS_COLUMNS,
    artifact_from,
    changed,
    event_from,
    job_from,
    progress_from,
    spec_from,
)
from jobs.database.tables.jobs import (
    DEFAULT_PROJECT,
    artifacts,
    events,
    jobs,
    outbox,
    projects,
)
from jobs.errors import (
    ArtifactNotFound,
    IllegalTransition,
    JobInUse,
    JobNotFound,
    JobsError,
    ProfilePending,
)
from jobs.inputs import lock_inputs, users_of
from jobs.scheduling.outbox import notify
from jobs.scheduling.placement import Asked, unschedulable_reasons
from jobs.scheduling.queue_order import position, positions
from jobs.scheduling.quotas import check_requeue, lock_project, lock_project_of
from jobs.schemas.events import AnyJobEvent, JobQueued
from jobs.schemas.job import Artifact, Job, JobChanges, JobSpec, Progress
from jobs.schemas.profiles import ProfileRequest
from jobs.schemas.status import FINAL, LEASED, JobStatus, RequestedAction
from jobs.store import event_log
from jobs.store.deleted_jobs import remember_files
from jobs.store.filters import ALL_JOBS, JobFilter, within_a_page
from jobs.store.idempotency import IdempotentRequest, forget, made_before, remember
from jobs.store.labels import set_labels
from jobs.store.origin import DIRECT, Origin
from jobs.store.submit import Submitted, enqueue
from jobs.store.transitions import (
    FULFILLED,
    JobRow,
    announce,
    change,
    request_action,
    request_profile,
    transition,
)
from jobs.store.webhook_outbox import forget_webhooks


class JobStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def ping(self) -> None:
        """Raise `sqlalchemy.exc.SQLAlchemyError` if the database does not answer."""
        with self._reads.begin() as connection:
            connection.execute(text("SELECT 1"))

    def create(self, spec: JobSpec, *, project: str = DEFAULT_PROJECT) -> Job:
        """Store a job and, in the same transaction, the message that notifies the workers.

        Raise `QuotaExceeded` if a quota of the project is reached.
        """
        return self.submit(spec, project=project).job

    def submit(
        self,
        spec: JobSpec,
        *,
        project: str,
        key: str | None = None,
        origin: Origin = DIRECT,
    ) -> Submitted:
        """Create a job as `create` does, at most once for each idempotency `key`.

        The same `key` and spec within a day return the job that was created first. Raise
        `IdempotencyConflict` for the same key with another spec.
        """
        request = IdempotentRequest.of(key, "job", origin.forked_from or "", spec.model_dump_json())
        with self._engine.begin() as connection:
            lock_project(connection, project)
            if request and (made := made_before(connection, project, request)):
                return Submitted(_get(connection, made), is_new=False)
            row = enqueue(connection, spec, project=project, origin=origin)
            if request:
                remember(connection, project, request, row.id)
            return Submitted(job_from(row, position(connection, row)), is_new=True)

    def get(self, job_id: str) -> Job:
        with self._reads.begin() as connection:
            return _get(connection, job_id)

    def project_of(self, job_id: str) -> str:
        return str(self._value(jobs.c.project, job_id))

    def with_keys(self, job_id: str) -> bool:
        """Return whether the service that accepted the job requires API keys."""
        return bool(self._value(jobs.c.with_keys, job_id))

    def _value(self, column: Column[Any], job_id: str) -> object:
        """Return the job's value of a column that is never null."""
        with self._reads.begin() as connection:
            value: object = connection.scalar(select(column).where(jobs.c.id == job_id))
        if value is None:
            raise JobNotFound(job_id)
        return value

    def list(
        self,
        wanted: JobFilter = ALL_JOBS,
        *,
        project: str = DEFAULT_PROJECT,
        limit: int = 50,
    ) -> builtins.list[Job]:
        """Return the jobs of one `page`, the newest first."""
        found, _ = self.page(wanted, project=project, limit=limit)
        return found

    def page(
        self, wanted: JobFilter, *, project: str, limit: int
    ) -> tuple[builtins.list[Job], bool]:
        """Return jobs, the newest first, and whether older jobs follow.

        A page with long specs has fewer jobs than `limit`, so that no page takes too much memory.
        """
        with self._reads.begin() as connection:
            found = connection.execute(wanted.query(project, limit + 1)).all()
            rows = within_a_page(found[:limit])
            waiting = positions(connection, rows)
        return [job_from(row, waiting.get(row.id)) for row in rows], len(rows) < len(found)

    def progress(self, job_id: str) -> Progress:
        """Return the progress of a job without reading its spec."""
        query = select(*PROGRESS_COLUMNS).where(jobs.c.id == job_id)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise JobNotFound(job_id)
            waiting = (
                {row.id: Asked(row.gpus, row.gpu_class)} if row.status is JobStatus.QUEUED else {}
            )
            reason = unschedulable_reasons(connection, waiting).get(row.id)
            return progress_from(row, position(connection, row), reason)

    def change(self, job_id: str, changes: JobChanges) -> Job:
        """Change the name, the labels or the priority of a job.

        Raise `IllegalTransition` for a new priority if the job is not queued.
        """
        given = changes.given
        with self._engine.begin() as connection:
            stored = changed(_locked_spec(connection, job_id), given)
            spec = spec_from(stored)
            row = change(
                connection,
                job_id,
                jobs.c.status == JobStatus.QUEUED if "priority" in given else true(),
                spec=stored,
                priority=spec.priority,
            )
            if row is None:
                raise _illegal(connection, job_id, "given another priority")
            set_labels(connection, job_id, spec.labels)
            return job_from(row, position(connection, row))

    def request_action(self, job_id: str, action: RequestedAction) -> Job:
        """Cancel or pause a job that waits, or ask the worker that holds it to do so.

        The same request twice has no further effect. A request to cancel replaces a request to
        pause, but not the other way round.
        """
        with self._engine.begin() as connection:
            row = request_action(connection, job_id, action)
            job = job_from(row) if row is not None else _get(connection, job_id)
        asked, target = job.requested_action, FULFILLED[action]
        if row is None and asked is not action and job.status is not target:
            status = job.status.value if asked is None else "being cancelled"
            raise IllegalTransition(job_id, status, target.value)
        return job

    def request_profile(self, job_id: str, steps: int) -> ProfileRequest:
        """Ask the worker that holds the job, or the next one, to profile so many steps.

        Raise `IllegalTransition` if no worker holds the job, and `ProfilePending` if it has not
        saved the profile of an earlier request.
        """
        with self._engine.begin() as connection:
            row = request_profile(connection, job_id, steps)
            if row is None:
                raise _no_profile(connection, job_id)
        return ProfileRequest(steps=row.profile_steps, event=row.profile_event)

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again.

        Raise `IllegalTransition` if the job is not paused, and `QuotaExceeded` if the queue of
        its project is full.
        """
        return self._queue_again(job_id, {JobStatus.PAUSED}, "resumed")

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again and reset its count of failed attempts.

        The job resumes from its last checkpoint. Raise `IllegalTransition` if the job is neither
        failed nor cancelled. Raise `DatasetNotFound`, `JobNotFound` or `ArtifactNotFound` if one
        of its inputs was deleted after the job was over.
        """
        return self._queue_again(
            job_id,
            {JobStatus.FAILED, JobStatus.CANCELLED},
            "retried",
            failed_attempts=0,
            node_faults=0,
            failed_on=None,
            error=None,
            finished_at=None,
        )

    def _queue_again(
        self,
        job_id: str,
        sources: Collection[JobStatus],
        reason: Literal["resumed", "retried"],
        **values: object,
    ) -> Job:
        allowed = jobs.c.status.in_(sources)
        with self._engine.begin() as connection:
            check_requeue(connection, job_id)
            row = transition(
                connection,
                job_id,
                JobStatus.QUEUED,
                allowed,
                notified_at=database_now(),
                not_before=0,
                **values,
            )
            if row is None:
                raise _illegal(connection, job_id, reason)
            lock_inputs(connection, job_id, project=row.project)
            announce(connection, row, JobQueued(reason=reason))
            notify(connection, job_id)
            return job_from(row, position(connection, row))

    def delete(self, job_id: str, *, with_files: bool = False) -> None:
        """Delete a job that is over, with all its rows in the database.

        Raise `IllegalTransition` if the job is not over, and `JobInUse` while its files are an
        input of a job that is not over. `with_files` also schedules the deletion of its files, in
        `DeletedJobStore`.
        """
        with self._engine.begin() as connection:
            lock_project_of(connection, job_id)
            row = _locked_over(connection, job_id)
            if users := users_of(connection, job_id):
                raise JobInUse(job_id, users)
            if with_files:
                keys = [artifact.key for artifact in _artifacts(connection, job_id)]
                remember_files(connection, job_id, project=row.project, spec=row.spec, keys=keys)
            forget(connection, job_id)
            forget_webhooks(connection, job_id)
            for table in (events, artifacts, outbox):
                connection.execute(delete(table).where(table.c.job_id == job_id))
            connection.execute(
                update(projects)
                .where(projects.c.name == row.project)
                .values(gpu_seconds=projects.c.gpu_seconds + row.gpu_seconds)
            )
            connection.execute(delete(jobs).where(jobs.c.id == job_id))

    def events(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int = 500,
        types: Collection[str] | None = None,
    ) -> builtins.list[AnyJobEvent]:
        """Return the events with a number above `after`, sorted by number."""
        query = event_log.search(job_id, after=after, limit=limit, types=types)
        with self._reads.begin() as connection:
            rows = connection.execute(query).all()
            if not rows:
                _check_exists(connection, job_id)
        return [event_from(row) for row in rows]

    def newest_events(self, ids: Collection[str]) -> dict[str, int]:
        """Return the number of the newest event of each of these jobs that exists."""
        query = select(jobs.c.id, jobs.c.last_event).where(jobs.c.id.in_(ids))
        with self._reads.begin() as connection:
            return {row.id: row.last_event for row in connection.execute(query)}

    def artifacts(self, job_id: str) -> builtins.list[Artifact]:
        """Return all artifacts of a job, sorted by path."""
        with self._reads.begin() as connection:
            found = _artifacts(connection, job_id)
            if not found:
                _check_exists(connection, job_id)
        return found

    def artifact(self, job_id: str, path: str) -> Artifact:
        query = select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.path == path)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                _check_exists(connection, job_id)
                raise ArtifactNotFound(job_id, path)
        return artifact_from(row)


def _get(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return job_from(row, position(connection, row))


def _artifacts(connection: Connection, job_id: str) -> list[Artifact]:
    query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.path)
    return [artifact_from(row) for row in connection.execute(query)]


def _locked_spec(connection: Connection, job_id: str) -> str:
    """Return the stored spec and lock the job's row until the end of the transaction."""
    query = select(jobs.c.spec).where(jobs.c.id == job_id).with_for_update()
    stored: str | None = connection.scalar(query)
    if stored is None:
        raise JobNotFound(job_id)
    return stored


def _locked_over(connection: Connection, job_id: str) -> JobRow:
    row = change(connection, job_id, jobs.c.status.in_(FINAL))
    if row is None:
        advice = f"Cancel it first, with `relora jobs cancel {job_id}`."
        raise _illegal(connection, job_id, "deleted", advice=advice)
    return row


def _illegal(
    connection: Connection, job_id: str, action: str, *, advice: str = ""
) -> IllegalTransition:
    """Return the error for a refused change; raise `JobNotFound` if there is no such job."""
    return IllegalTransition(job_id, _get(connection, job_id).status.value, action, advice=advice)


def _no_profile(connection: Connection, job_id: str) -> JobsError:
    """Return the error for a refused profile; raise `JobNotFound` if there is no such job."""
    running = and_(jobs.c.id == job_id, jobs.c.status.in_(LEASED))
    pending = connection.scalar(select(jobs.c.profile_steps).where(running))
    if pending is not None:
        return ProfilePending(job_id, pending)
    advice = "Only steps of a running job can be."
    return _illegal(connection, job_id, "profiled", advice=advice)


def _check_exists(connection: Connection, job_id: str) -> None:
    if connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)
