"""Statistics of jobs and of the service, read from the store in five queries."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, case, func, select, true
from sqlalchemy.dialects import postgresql, sqlite

from jobs.database.engine import READ_ONLY, database_now
from jobs.database.tables.jobs import jobs, outbox
from jobs.database.tables.upload_totals import upload_totals
from jobs.schemas.status import LEASED, JobStatus


@dataclass(frozen=True)
class LeasedJob:
    """A job that a worker holds."""

    id: str
    project: str
    attempt: int
    failed_attempts: int
    lease_left: float  # in seconds; below 0 the lease has expired
    progress: Mapping[str, Any]  # empty until the trainer runs


@dataclass(frozen=True)
class UploadTotals:
    """The totals of all uploads of one kind, such as checkpoints or merged models."""

    count: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class JobStats:
    """The jobs of one project, or of all projects."""

    jobs: Mapping[JobStatus, int]
    leased: tuple[LeasedJob, ...]


@dataclass(frozen=True)
class ServiceStats:
    """What belongs to no project."""

    unsent_messages: int
    queued_gpus: Mapping[tuple[int, str | None], int]  # by the GPUs and the class of a job
    uploads: Mapping[str, UploadTotals]


class StatsStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def of_jobs(self, project: str | None = None) -> JobStats:
        """Return the statistics of one project's jobs, or of all jobs."""
        ours = true() if project is None else jobs.c.project == project
        with self._reads.begin() as connection:
            return JobStats(_count(connection, ours), _leased(connection, ours))

    def of_service(self) -> ServiceStats:
        with self._reads.begin() as connection:
            return ServiceStats(
                unsent_messages=connection.scalar(select(func.count()).select_from(outbox)) or 0,
                queued_gpus=_queued_gpus(connection),
                uploads=_uploads(connection),
            )

    def add_upload(self, kind: str, *, num_bytes: int, seconds: float) -> None:
        new = {"uploads": 1, "bytes": num_bytes, "seconds": seconds}
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        statement = insert(upload_totals).values(kind=kind, **new)
        totals = {name: upload_totals.c[name] + statement.excluded[name] for name in new}
        with self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["kind"], set_=totals)
            )


def _count(connection: Connection, ours: ColumnElement[bool]) -> dict[JobStatus, int]:
    count = func.count().label("number")
    query = select(jobs.c.status, count).where(ours).group_by(jobs.c.status)
    found = {row.status: row.number for row in connection.execute(query)}
    return {status: found.get(status, 0) for status in JobStatus}


def _leased(connection: Connection, ours: ColumnElement[bool]) -> tuple[LeasedJob, ...]:
    query = select(
        jobs.c.id,
        jobs.c.project,
        jobs.c.attempt,
        jobs.c.failed_attempts,
        (jobs.c.lease_until - database_now()).label("lease_left"),
        case((jobs.c.status == JobStatus.RUNNING, jobs.c.progress), else_="{}").label("progress"),
    ).where(ours, jobs.c.status.in_(LEASED))
    return tuple(
        LeasedJob(**{**row._asdict(), "progress": json.loads(row.progress)})
        for row in connection.execute(query)
    )


def _queued_gpus(connection: Connection) -> dict[tuple[int, str | None], int]:
    """Return the GPUs of the jobs that a worker could take now."""
    of_kind = (jobs.c.gpus, jobs.c.gpu_class)
    query = select(*of_kind, func.sum(jobs.c.gpus)).where(
        jobs.c.status == JobStatus.QUEUED,
        ~jobs.c.waiting_for_quota,
        jobs.c.not_before <= database_now(),
    )
    rows = connection.execute(query.group_by(*of_kind))
    return {(gpus, gpu_class): int(total) for gpus, gpu_class, total in rows}


def _uploads(connection: Connection) -> dict[str, UploadTotals]:
    return {
        row.kind: UploadTotals(row.uploads, row.bytes, row.seconds)
        for row in connection.execute(select(upload_totals))
    }
