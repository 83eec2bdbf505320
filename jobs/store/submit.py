"""The submission of a job: check the quotas, store the job, its first event and its message."""

from dataclasses import dataclass

from sqlalchemy import Connection

from jobs.inputs import add_inputs
from jobs.scheduling.outbox import notify
from jobs.scheduling.quotas import check_submit
from jobs.schemas.events import JobQueued
from jobs.schemas.ids import new_job_id
from jobs.schemas.job import Job, JobSpec
from jobs.store.origin import DIRECT, Origin
from jobs.store.transitions import JobRow, add, announce


@dataclass(frozen=True)
class Submitted:
    """A job. `is_new` is False if an earlier request with the same key created it."""

    job: Job
    is_new: bool


def enqueue(
    connection: Connection,
    spec: JobSpec,
    *,
    project: str,
    origin: Origin = DIRECT,
) -> JobRow:
    """Put a job into the queue, as part of the transaction.

    Raise `QuotaExceeded` if a quota of the project is reached, and `DatasetNotFound`,
    `JobNotFound` or `ArtifactNotFound` if an input of the job does not exist.
    """
    check_submit(connection, project, gpus=spec.resources.gpus)
    row = add(connection, new_job_id(), spec, project=project, origin=origin)
    add_inputs(connection, row.id, spec, project=project)
    announce(connection, row, JobQueued(reason="forked" if origin.forked_from else "submitted"))
    notify(connection, row.id)
    return row
