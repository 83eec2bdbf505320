"""Deleted jobs whose files are not deleted yet, for example because the storage was down.

Every method is one transaction.
"""

import builtins
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from jobs.backoff import Backoff
from jobs.database.engine import READ_ONLY, database_now
from jobs.database.row_mapping import spec_from
from jobs.database.tables.deleted_jobs import deleted_jobs
from jobs.schemas.job import JobSpec

LEASE_SECONDS = 3600.0  # then another process may claim the deletion
BACKOFF = Backoff(first=30.0, longest=3600.0)


@dataclass(frozen=True)
class DeletedJob:
    """A deleted job, with what is needed to find its files."""

    id: str
    project: str
    spec: JobSpec
    keys: tuple[str, ...]  # the storage keys of its listed files
    failures: int  # how often in a row its files could not be deleted


def remember_files(
    connection: Connection, job_id: str, *, project: str, spec: str, keys: Iterable[str]
) -> None:
    """Schedule the deletion of a job's files, in the transaction that deletes the job."""
    connection.execute(
        insert(deleted_jobs).values(
            job_id=job_id, project=project, spec=spec, keys=json.dumps(list(keys))
        )
    )


class DeletedJobStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def list(self) -> builtins.list[DeletedJob]:
        """Return all deleted jobs whose files are not deleted yet, sorted by id."""
        query = select(deleted_jobs).order_by(deleted_jobs.c.job_id)
        with self._reads.begin() as connection:
            return [_deleted_job_from(row) for row in connection.execute(query)]

    def due(self) -> builtins.list[str]:
        """Return the ids of the jobs whose files are due to be deleted, or tried again, now."""
        query = select(deleted_jobs.c.job_id).where(deleted_jobs.c.due_at <= database_now())
        with self._reads.begin() as connection:
            return builtins.list(connection.scalars(query.order_by(deleted_jobs.c.due_at)))

    def claim(self, job_id: str) -> DeletedJob | None:
        """Take a lease on the deletion of a job's files, until `forget` or `retry_later`.

        Return None if another process holds the lease, or if the files are gone.
        """
        free = deleted_jobs.c.leased_until <= database_now()
        statement = (
            update(deleted_jobs)
            .where(deleted_jobs.c.job_id == job_id, free)
            .values(leased_until=database_now() + LEASE_SECONDS)
            .returning(deleted_jobs)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _deleted_job_from(row)

    def retry_later(self, job: DeletedJob) -> None:
        """Release a claimed job whose storage failed. It is due again after a pause."""
        failures = job.failures + 1
        statement = (
            update(deleted_jobs)
            .where(deleted_jobs.c.job_id == job.id)
            .values(
                due_at=database_now() + BACKOFF.wait(failures),
                failures=failures,
                leased_until=0,
            )
        )
        with self._engine.begin() as connection:
            connection.execute(statement)

    def forget(self, job_id: str) -> None:
        """Remove a claimed job after its files were deleted."""
        with self._engine.begin() as connection:
            connection.execute(delete(deleted_jobs).where(deleted_jobs.c.job_id == job_id))


def _deleted_job_from(row: Row[*tuple[Any, ...]]) -> DeletedJob:
    return DeletedJob(
        id=row.job_id,
        project=row.project,
        spec=spec_from(row.spec),
        keys=tuple(json.loads(row.keys)),
        failures=row.failures,
    )
