"""What people ask of jobs, in SQLite or PostgreSQL: the one truth.

Every method is one transaction. Event numbers of a job are 1, 2, 3, ... without gaps, given
while its row is locked, so a reader who saw one has seen all before it.
"""

import builtins
from collections.abc import Collection

from sqlalchemy import Connection, Engine, select, text

from jobs import log
from jobs.database import READ_ONLY, database_now
from jobs.errors import ArtifactNotFound, IllegalTransition, JobNotFound
from jobs.events import AnyJobEvent, JobQueued
from jobs.ids import new_job_id
from jobs.models import Artifact, Job, JobSpec, Progress
from jobs.moves import FULFILLED, add, announce, make_wish, move
from jobs.outbox import ring
from jobs.quotas import check_requeue, check_submit
from jobs.rows import PROGRESS_COLUMNS, artifact_from, event_from, job_from, progress_from
from jobs.status import JobStatus, Wish
from jobs.tables import DEFAULT_PROJECT, artifacts, jobs


class JobStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def ping(self) -> None:
        """Raises `sqlalchemy.exc.SQLAlchemyError` if the database does not answer."""
        with self._reads.begin() as connection:
            connection.execute(text("SELECT 1"))

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
        """Queue a paused job again. Raises `IllegalTransition` for any other, `QuotaExceeded`."""
        with self._engine.begin() as connection:
            check_requeue(connection, job_id)
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
        query = log.search(job_id, after=after, limit=limit, types=types)
        with self._reads.begin() as connection:
            rows = connection.execute(query).all()
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


def _get(connection: Connection, job_id: str) -> Job:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return job_from(row)


def _check_exists(connection: Connection, job_id: str) -> None:
    if connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)
