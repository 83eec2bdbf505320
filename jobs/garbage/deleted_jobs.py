"""The files of jobs that were deleted with them: a storage that is away is tried again later."""

import logging
from collections.abc import Iterator, Sequence

from jobs.backends import Backends
from jobs.errors import JobsError
from jobs.locations.folders import JOB_FOLDERS
from jobs.locations.ownership import owner_of, release_output
from jobs.storage import Storage, StoredFile
from jobs.store.deleted_jobs import DeletedJob

logger = logging.getLogger(__name__)


def delete_due_files(backends: Backends) -> None:
    """One round over all deleted jobs whose files are still there."""
    for job_id in backends.deleted_jobs.due():
        try:
            delete_files(backends, job_id)
        except (JobsError, OSError) as error:
            logger.warning("the files of deleted job %s wait for the storage: %s", job_id, error)


def delete_files(backends: Backends, job_id: str) -> None:
    """Delete the files of a deleted job, unless another process is at it.

    Raises `StorageError`; then they are tried again later.
    """
    job = backends.deleted_jobs.claim(job_id)
    if job is None:
        return
    try:
        storage = backends.storage_for(job)
        if job.keys:
            storage.check_mounted()
        for prefix in _prefixes(job, storage):
            storage.delete(prefix)
        if job.spec.output_uri is not None:
            release_output(storage, job_id)
    except Exception:
        backends.deleted_jobs.retry_later(job)
        raise
    backends.deleted_jobs.forget(job_id)
    logger.info("job %s: its files are deleted", job_id)


def files_of(backends: Backends, job: DeletedJob) -> Iterator[StoredFile]:
    """What `delete_files` would delete."""
    storage = backends.storage_for(job)
    for prefix in _prefixes(job, storage):
        yield from storage.list(prefix)


def _prefixes(job: DeletedJob, storage: Storage) -> Sequence[str]:
    """What is the job's. Its place in the service's storage is emptied; one that its spec names may
    hold more, and may be another job's by now.
    """
    if job.spec.output_uri is None:
        return ("",)
    owner = owner_of(storage)
    if owner is None:  # a job of an earlier version, which left no mark
        return job.keys
    return JOB_FOLDERS if owner == job.id else ()
