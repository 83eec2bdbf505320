"""Files in the storage that no list names: parts of uploads of attempts that were lost, and what
could not be deleted when it left the list.

The files of a job are looked for before its list is read, so none that is listed meanwhile is taken
for garbage. What the attempt that holds the job writes is left alone.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from jobs.backends import Backends
from jobs.errors import JobsError
from jobs.locations import ATTEMPTS
from jobs.models import Job
from jobs.ownership import owner_of
from jobs.status import HELD
from jobs.storage import Storage, StoredFile
from jobs.tables import jobs

logger = logging.getLogger(__name__)

UNFINISHED_AFTER = timedelta(days=1)  # an upload that has taken so long is not going on


@dataclass(frozen=True)
class Garbage:
    """What was found of one job."""

    job_id: str
    files: int
    size: int
    unfinished: int  # uploads that began and never ended


def collect_garbage(
    backends: Backends, *, dry_run: bool, changed_since: datetime | None = None
) -> Iterator[Garbage]:
    """Find and delete the garbage of all jobs, or of those that changed lately.

    A job whose storage cannot be reached is passed over, with a line in the log.
    """
    before = datetime.now(UTC) - UNFINISHED_AFTER
    query = select(jobs.c.id).order_by(jobs.c.id)
    if changed_since is not None:
        query = query.where(jobs.c.updated_at > changed_since)
    with backends.engine.connect() as connection:
        job_ids = list(connection.scalars(query))
    for job_id in job_ids:
        try:
            found = _collect(backends, job_id, before, dry_run=dry_run)
        except (JobsError, FileNotFoundError) as error:
            logger.warning("job %s: its storage was not looked through: %s", job_id, error)
            continue
        if found.files or found.unfinished:
            yield found


def _collect(backends: Backends, job_id: str, before: datetime, *, dry_run: bool) -> Garbage:
    job = backends.store.get(job_id)
    storage = backends.storage_for(job)
    if job.spec.output_uri is not None and owner_of(storage) != job_id:
        return Garbage(job_id, files=0, size=0, unfinished=0)
    files = unlisted(backends, job_id, storage)
    if not dry_run:
        storage.delete_files(file.key for file in files)
    return Garbage(
        job_id=job_id,
        files=len(files),
        size=sum(file.size for file in files),
        unfinished=storage.remove_unfinished(ATTEMPTS, before, dry_run=dry_run),
    )


def unlisted(backends: Backends, job_id: str, storage: Storage) -> list[StoredFile]:
    """The files of a job that neither its list names nor a running attempt writes."""
    stored = list(storage.list(ATTEMPTS))
    job = backends.store.get(job_id)
    listed = {artifact.key for artifact in backends.store.artifacts(job_id)}
    return [file for file in stored if file.key not in listed and not _is_written(file.key, job)]


def _is_written(key: str, job: Job) -> bool:
    return job.status in HELD and key.startswith(f"{ATTEMPTS}/{job.attempt}/")
