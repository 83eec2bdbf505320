"""The jobs and all that is known of them, in SQLite or PostgreSQL: the one truth.

Every method is one transaction. What only the holder of a job may do takes the number of
its attempt, the fencing token, and raises `LeaseLost` when another attempt holds the job or
none does. Event numbers of a job are 1, 2, 3, ... without gaps, given while its row is
locked, so a reader who saw one has seen all before it.
"""

import builtins
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)

from jobs import log
from jobs.database import READ_ONLY, database_now, open_engine
from jobs.errors import ArtifactNotFound, IllegalTransition, JobNotFound, LeaseLost
from jobs.events import AnyJobEvent, JobClaimed, JobQueued, JobStarted, JobWarned
from jobs.ids import new_job_id
from jobs.metrics import recording
from jobs.models import Artifact, Job, JobError, JobSpec, Progress
from jobs.moves import (
    FULFILLED,
    JobRow,
    Target,
    add,
    announce,
    can_become,
    change,
    held_by,
    make_wish,
    move,
    release,
    ring,
    rung_before,
    to,
    wished_or,
)
from jobs.progress import advance
from jobs.quotas import check_submit
from jobs.rows import (
    PROGRESS_COLUMNS,
    artifact_from,
    event_from,
    job_from,
    progress_document,
    progress_from,
)
from jobs.status import HELD, JobStatus, Wish
from jobs.tables import DEFAULT_PROJECT, artifacts, events, jobs, outbox


@dataclass(frozen=True)
class OutboxEntry:
    """A message that waits to be sent."""

    id: int
    job_id: str


class JobStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    @classmethod
    def open(cls, database_url: str) -> "JobStore":
        """On a database that `jobs.migrate` has prepared."""
        return cls(open_engine(database_url))

    def close(self) -> None:
        self._engine.dispose()

    def ping(self) -> None:
        """Raises `sqlalchemy.exc.SQLAlchemyError` if the database does not answer."""
        with self._reads.begin() as connection:
            connection.execute(text("SELECT 1"))

    # --- what a person asks ----------------------------------------------------------------

    def create(self, spec: JobSpec, *, project: str = DEFAULT_PROJECT) -> Job:
        """Store a job and, in the same transaction, the message that tells the workers.

        Raises `QuotaExceeded`.
        """
        with self._engine.begin() as connection:
            check_submit(connection, project, gpus=spec.resources.gpus)
            row = add(connection, new_job_id(), spec, project=project)
            announce(connection, row, JobQueued())
            ring(connection, row.id)
        return job_from(row)

    def get(self, job_id: str) -> Job:
        with self._reads.begin() as connection:
            return _get(connection, job_id)

    def project_of(self, job_id: str) -> str:
        query = select(jobs.c.project).where(jobs.c.id == job_id)
        with self._reads.begin() as connection:
            project: str | None = connection.scalar(query)
        if project is None:
            raise JobNotFound(job_id)
        return project

    def list(
        self,
        *,
        project: str = DEFAULT_PROJECT,
        status: JobStatus | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> builtins.list[Job]:
        """The newest first; `before` is the id of the last job of the page before."""
        query = select(jobs).where(jobs.c.project == project)
        query = query.order_by(jobs.c.id.desc()).limit(limit)
        if status is not None:
            query = query.where(jobs.c.status == status)
        if before is not None:
            query = query.where(jobs.c.id < before)
        with self._reads.begin() as connection:
            return [job_from(row) for row in connection.execute(query)]

    def progress(self, job_id: str) -> Progress:
        """As `get(job_id).progress`, without reading the spec."""
        query = select(*PROGRESS_COLUMNS).where(jobs.c.id == job_id)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise JobNotFound(job_id)
        return progress_from(row)

    def wish(self, job_id: str, wish: Wish) -> Job:
        """Cancel or pause a job that waits, or ask the worker that holds it to.

        Asking twice is fine. A wish to cancel is final; one to pause gives way to it.
        """
        with self._engine.begin() as connection:
            row = make_wish(connection, job_id, wish)
            job = job_from(row) if row is not None else _get(connection, job_id)
        if row is None and job.wish is not wish and job.status is not FULFILLED[wish]:
            status = job.status.value if job.wish is None else "being cancelled"
            raise IllegalTransition(job_id, status, FULFILLED[wish].value)
        return job

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again. Raises `IllegalTransition` for any other."""
        with self._engine.begin() as connection:
            row = move(
                connection,
                job_id,
                JobStatus.QUEUED,
                jobs.c.status == JobStatus.PAUSED,
                rung_at=database_now(),
            )
            if row is None:
                status = _get(connection, job_id).status
                raise IllegalTransition(job_id, status.value, "resumed")
            announce(connection, row, JobQueued(reason="resumed"))
            ring(connection, job_id)
        return job_from(row)

    def events(
        self,
        job_id: str,
        *,
        after: int = 0,
        limit: int = 500,
        types: Collection[str] | None = None,
    ) -> builtins.list[AnyJobEvent]:
        """Those with a number above `after`, in order."""
        query = select(events).where(events.c.job_id == job_id, events.c.id > after)
        if types is not None:
            query = query.where(events.c.type.in_(types))
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(events.c.id).limit(limit)).all()
            if not rows:
                _check_exists(connection, job_id)
        return [event_from(row) for row in rows]

    def artifacts(self, job_id: str) -> builtins.list[Artifact]:
        """Sorted by path."""
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.path)
        with self._reads.begin() as connection:
            rows = connection.execute(query).all()
            if not rows:
                _check_exists(connection, job_id)
        return [artifact_from(row) for row in rows]

    def artifact(self, job_id: str, path: str) -> Artifact:
        query = select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.path == path)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                _check_exists(connection, job_id)
                raise ArtifactNotFound(job_id, path)
        return artifact_from(row)

    # --- what the holder of a job does -----------------------------------------------------

    def claim(self, job_id: str, *, worker: str, lease_seconds: float) -> Job | None:
        """Take a queued job under a lease; None if it is not queued (any more)."""
        with self._engine.begin() as connection:
            row = move(
                connection,
                job_id,
                JobStatus.STARTING,
                attempt=jobs.c.attempt + 1,
                worker=worker,
                lease_until=database_now() + lease_seconds,
            )
            if row is None:
                return None
            announce(connection, row, JobClaimed(worker=worker))
        return job_from(row)

    def started(self, job_id: str, attempt: int, *, resumed_from: int | None) -> None:
        """The trainer runs, from the checkpoint of step `resumed_from` if there was one."""
        now = literal(datetime.now(UTC), jobs.c.started_at.type)
        with self._engine.begin() as connection:
            row = move(
                connection,
                job_id,
                JobStatus.RUNNING,
                held_by(attempt),
                started_at=func.coalesce(jobs.c.started_at, now),
            )
            row = _still_held(row, job_id, attempt)
            announce(connection, row, JobStarted(worker=row.worker, resumed_from=resumed_from))

    def renew(self, job_id: str, attempt: int, *, lease_seconds: float) -> Wish | None:
        """Extend the lease; return what a person wished meanwhile."""
        lease_until = database_now() + lease_seconds
        with self._engine.begin() as connection:
            row = change(connection, job_id, held_by(attempt), lease_until=lease_until)
        wish: Wish | None = _still_held(row, job_id, attempt).wish
        return wish

    def append(self, job_id: str, attempt: int, lines: log.Lines) -> None:
        """Store lines of the trainer's events, by their number; those stored before are skipped."""
        if not lines:
            return
        with self._engine.begin() as connection:
            row = _still_held(change(connection, job_id, held_by(attempt)), job_id, attempt)
            new = log.not_recorded(connection, lines, job_id=job_id, attempt=attempt)
            if not new:
                return
            first = row.last_event + 1
            log.record(connection, new, job_id=job_id, first=first, attempt=attempt)
            recording.record(connection, new, job_id=job_id, first=first, attempt=attempt)
            progress = advance(progress_from(row), (event for _, event in new))
            change(
                connection,
                job_id,
                held_by(attempt),
                last_event=row.last_event + len(new),
                progress=progress_document(progress),
            )

    def warn(self, job_id: str, attempt: int, code: str, message: str) -> None:
        """Tell the person something about the job that is not the trainer's to tell."""
        with self._engine.begin() as connection:
            row = change(connection, job_id, held_by(attempt), last_event=jobs.c.last_event + 1)
            row = _still_held(row, job_id, attempt)
            announce(connection, row, JobWarned(code=code, message=message))

    def add_artifacts(self, job_id: str, attempt: int, files: Sequence[Artifact]) -> None:
        """List files that are whole in the storage; a path listed before is replaced."""
        if not files:
            return
        rows = [{"job_id": job_id, **file.model_dump()} for file in files]
        paths = [file.path for file in files]
        with self._engine.begin() as connection:
            _still_held(change(connection, job_id, held_by(attempt)), job_id, attempt)
            connection.execute(
                delete(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.path.in_(paths))
            )
            connection.execute(insert(artifacts), rows)

    def remove_artifacts(self, job_id: str, attempt: int, prefix: str) -> None:
        """No longer list the file or the folder `prefix`."""
        folder = prefix.rstrip("/")
        below = artifacts.c.path.startswith(folder + "/", autoescape=True)
        with self._engine.begin() as connection:
            _still_held(change(connection, job_id, held_by(attempt)), job_id, attempt)
            connection.execute(
                delete(artifacts).where(
                    artifacts.c.job_id == job_id, or_(artifacts.c.path == folder, below)
                )
            )

    # --- how an attempt ends ---------------------------------------------------------------

    def finish(
        self, job_id: str, attempt: int, status: JobStatus, *, error: JobError | None = None
    ) -> JobStatus:
        """End the attempt; return the job's status, which a wish to cancel makes of a pause.

        A failure needs its error.
        """
        target = to(status)
        if status is JobStatus.PAUSED:
            target = case((jobs.c.wish == Wish.CANCEL, to(JobStatus.CANCELLED)), else_=target)
        guard = and_(held_by(attempt), can_become(status))
        return self._release(job_id, attempt, guard, target, error)

    def requeue(self, job_id: str, attempt: int) -> JobStatus:
        """The worker must leave; a wish is fulfilled instead. It counts as no failed attempt."""
        target = wished_or(to(JobStatus.QUEUED))
        return self._release(job_id, attempt, held_by(attempt), target, None)

    def retry(self, job_id: str, attempt: int, error: JobError) -> JobStatus:
        """Queue the job again or, after `retries.max_attempts` failed ones, let it fail.

        A wish is fulfilled instead.
        """
        return self._release(job_id, attempt, held_by(attempt), _RETRIED, error)

    def expire_leases(self) -> builtins.list[str]:
        """Retry the jobs whose worker is lost (a transaction each); return their ids."""
        overdue = and_(jobs.c.status.in_(HELD), jobs.c.lease_until < database_now())
        with self._reads.begin() as connection:
            lost = connection.execute(select(jobs.c.id, jobs.c.worker).where(overdue)).all()
        return [job_id for job_id, worker in lost if self._expire(job_id, worker, overdue)]

    def _expire(self, job_id: str, worker: str, overdue: ColumnElement[bool]) -> bool:
        error = JobError(code="worker_lost", message=f"Worker {worker} gave no sign of life.")
        with self._engine.begin() as connection:
            return release(connection, job_id, overdue, _RETRIED, error) is not None

    def _release(
        self,
        job_id: str,
        attempt: int,
        guard: ColumnElement[bool],
        target: Target,
        error: JobError | None,
    ) -> JobStatus:
        with self._engine.begin() as connection:
            row = release(connection, job_id, guard, target, error)
        status: JobStatus = _still_held(row, job_id, attempt).status
        return status

    # --- messages to the workers -----------------------------------------------------------

    def unsent(self, limit: int = 100) -> builtins.list[OutboxEntry]:
        query = select(outbox.c.id, outbox.c.job_id).order_by(outbox.c.id).limit(limit)
        with self._reads.begin() as connection:
            return [OutboxEntry(row.id, row.job_id) for row in connection.execute(query)]

    def mark_sent(self, outbox_id: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.id == outbox_id))

    def ring_again(self, older_than_seconds: float) -> int:
        """For when the broker lost messages: queue another for each job that waits so long."""
        with self._engine.begin() as connection:
            waiting = rung_before(connection, older_than_seconds)
            if waiting:
                ring(connection, *waiting)
        return len(waiting)


_RETRIED = wished_or(
    case(
        (jobs.c.failed_attempts + 1 < jobs.c.max_attempts, to(JobStatus.QUEUED)),
        else_=to(JobStatus.FAILED),
    )
)


def _get(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return job_from(row)


def _check_exists(connection: Connection, job_id: str) -> None:
    if connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)


def _still_held(row: JobRow | None, job_id: str, attempt: int) -> JobRow:
    if row is None:
        raise LeaseLost(job_id, attempt)
    return row
