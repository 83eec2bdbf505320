"""The deletion of the files of deleted jobs. If the storage is down, it is tried again later."""

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
    """Delete the files of all deleted jobs that are due; log a failure and go on."""
    for job_id in backends.deleted_jobs.due():
        try:
            delete_files(backends, job_id)
        except (JobsError, OSError) as error:
            logger.warning("the files of deleted job %s wait for the storage: %s", job_id, error)


def delete_files(backends: Backends, job_id: str) -> None:
    """Delete the files of a deleted job, unless another process does it now.

    Raise `StorageError` if the storage fails. Then it is tried again later.
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
    """Yield the files that `delete_files` would delete."""
    storage = backends.storage_for(job)
    for prefix in _prefixes(job, storage):
        yield from storage.list(prefix)


def _prefixes(job: DeletedJob, storage: Storage) -> Sequence[str]:
    """Return the prefixes of the files that belong to the job.

    In the service's storage these are all files of its folder. A location that its spec names may
    hold other files too, and another job may own it by now.
    """
    if job.spec.output_uri is None:
        return ("",)
    owner = owner_of(storage)
    if owner is None:  # a job of an earlier version, which wrote no marker file
        return job.keys
    return JOB_FOLDERS if owner == job.id else ()
