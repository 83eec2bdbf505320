"""How a job comes into the queue: within its project's quotas, with its first event and message."""

from dataclasses import dataclass

from sqlalchemy import Connection

from jobs.events import JobQueued
from jobs.ids import new_job_id
from jobs.inputs import add_inputs
from jobs.models import Job, JobSpec
from jobs.moves import JobRow, add, announce
from jobs.outbox import ring
from jobs.quotas import check_submit


@dataclass(frozen=True)
class Submitted:
    """A job, and whether this request made it or one before with the same key."""

    job: Job
    is_new: bool


def enqueue(
    connection: Connection, spec: JobSpec, *, project: str, forked_from: str | None = None
) -> JobRow:
    """Raises `QuotaExceeded`, and `DatasetNotFound`, `JobNotFound` or `ArtifactNotFound` if one of
    its inputs is gone.
    """
    check_submit(connection, project, gpus=spec.resources.gpus)
    row = add(connection, new_job_id(), spec, project=project, forked_from=forked_from)
    add_inputs(connection, row.id, spec, project=project)
    announce(connection, row, JobQueued(reason="forked" if forked_from else "submitted"))
    ring(connection, row.id)
    return row
