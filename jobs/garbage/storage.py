"""The garbage collection in the storage.

It deletes parts of abandoned uploads, and files that could not be deleted when they were removed
from a list of artifacts or datasets. The storage is listed before the database is read. So a file
that is registered meanwhile is not taken for garbage. Files that the current attempt of a job may
write are kept. Unlisted parts of uploads, unfinished uploads and files without a job are kept for a
day.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

from sqlalchemy import select

from jobs.backends import Backends
from jobs.database.tables.jobs import jobs
from jobs.datasets.content import UPLOADS, remove_deleted
from jobs.errors import JobsError
from jobs.garbage.deleted_jobs import delete_files, files_of
from jobs.locations.folders import ATTEMPTS
from jobs.locations.ownership import owner_of
from jobs.schemas.job import Job
from jobs.schemas.status import LEASED
from jobs.storage import JOBS, Storage, StoredFile
from jobs.store.deleted_jobs import DeletedJob

logger = logging.getLogger(__name__)

FILES_OF_DELETED = "files of a deleted job"
GIVEN_UP_AFTER = timedelta(days=1)  # an upload without a write for so long counts as abandoned


@dataclass(frozen=True)
class Garbage:
    """The garbage of one kind that was found in one place."""

    kind: str
    where: str
    files: int
    size: int


Finder = Callable[[], Iterator[Garbage]]
Report = Callable[[str], None]  # it is called with what was skipped, and why


def collect_garbage(
    backends: Backends,
    *,
    dry_run: bool,
    changed_since: datetime | None = None,
    deleted_jobs: bool = False,
    passed_over: Report = logger.warning,
) -> Iterator[Garbage]:
    """Find and delete garbage in the storage, of all jobs or of those changed since a time.

    With `dry_run`, delete nothing. With `deleted_jobs`, also delete the files of jobs that were
    deleted without `artifacts`. A storage that cannot be reached is skipped and reported to
    `passed_over`.
    """
    find = _Search(backends, dry_run)
    finders: list[tuple[str, Finder]] = [
        ("uploads", find.abandoned_uploads),
        ("uploads", find.unlisted_parts),
        ("the service's storage", find.unfinished),
    ]
    finders += [
        (f"deleted job {job.id}", partial(find.left_of, job))
        for job in backends.deleted_jobs.list()
    ]
    if deleted_jobs:
        finders.append(("deleted jobs", find.of_deleted_jobs))
    finders += [(f"job {id_}", partial(find.of_job, id_)) for id_ in _ids(backends, changed_since)]
    for where, finder in finders:
        try:
            yield from (found for found in finder() if found.files)
        except (JobsError, OSError) as error:
            passed_over(f"{where}: {error}")


def _ids(backends: Backends, changed_since: datetime | None) -> list[str]:
    query = select(jobs.c.id).order_by(jobs.c.id)
    if changed_since is not None:
        query = query.where(jobs.c.updated_at > changed_since)
    with backends.engine.connect() as connection:
        return list(connection.scalars(query))


@dataclass(frozen=True)
class _Search:
    backends: Backends
    dry_run: bool

    def abandoned_uploads(self) -> Iterator[Garbage]:
        """Yield deleted datasets, and uploads without a new byte for `upload_expires_seconds`."""
        datasets, seconds = self.backends.datasets, self.backends.settings.upload_expires_seconds
        for dataset in datasets.given_up(seconds):
            yield Garbage("abandoned upload", dataset.id, 1, dataset.received)
        if not self.dry_run:
            datasets.expire_uploads(seconds)
            remove_deleted(datasets, self.backends.own_storage)

    def unlisted_parts(self) -> Iterator[Garbage]:
        storage = self.backends.own_storage()
        stored = _given_up(storage.list(UPLOADS))
        listed = self.backends.datasets.keys()
        files = [file for file in stored if file.key not in listed]
        yield from self._delete("unlisted part of an upload", UPLOADS, storage, files)

    def unfinished(self) -> Iterator[Garbage]:
        storage = self.backends.own_storage()
        for folder in (JOBS, UPLOADS):
            yield self._end_unfinished(folder, storage, folder)

    def left_of(self, job: DeletedJob) -> Iterator[Garbage]:
        """Yield the files of a job that was deleted with its files while the storage was down."""
        files = list(files_of(self.backends, job))
        if not self.dry_run:
            delete_files(self.backends, job.id)
        yield Garbage(FILES_OF_DELETED, job.id, len(files), sum(file.size for file in files))

    def of_deleted_jobs(self) -> Iterator[Garbage]:
        storage = self.backends.own_storage()
        stored = list(storage.list(JOBS))
        known = set(_ids(self.backends, None))
        known |= {job.id for job in self.backends.deleted_jobs.list()}  # `left_of` does these
        for job_id, files in groupby(stored, key=lambda file: file.key.split("/")[1]):
            if job_id not in known:
                left = _given_up(files)
                yield from self._delete(FILES_OF_DELETED, job_id, storage, left)

    def of_job(self, job_id: str) -> Iterator[Garbage]:
        job = self.backends.store.get(job_id)
        storage = self.backends.storage_for(job)
        if job.spec.output_uri is not None:
            if owner_of(storage) != job_id:
                return
            yield self._end_unfinished(job_id, storage, ATTEMPTS)
        files = unlisted_files(self.backends, job, storage)
        yield from self._delete("unlisted file of a job", job_id, storage, files)

    def _end_unfinished(self, where: str, storage: Storage, folder: str) -> Garbage:
        before = datetime.now(UTC) - GIVEN_UP_AFTER
        found = [upload for upload in storage.unfinished(folder) if upload.since < before]
        if not self.dry_run:
            for upload in found:
                upload.remove()
        return Garbage("unfinished upload", where, len(found), sum(upload.size for upload in found))

    def _delete(
        self, kind: str, where: str, storage: Storage, files: list[StoredFile]
    ) -> Iterator[Garbage]:
        if not self.dry_run:
            storage.delete_files(file.key for file in files)
        yield Garbage(kind, where, len(files), sum(file.size for file in files))


def _given_up(files: Iterable[StoredFile]) -> list[StoredFile]:
    before = datetime.now(UTC) - GIVEN_UP_AFTER
    return [file for file in files if file.modified_at < before]


def unlisted_files(backends: Backends, job: Job, storage: Storage) -> list[StoredFile]:
    """Return the files of a job that are not in its list and that no running attempt writes.

    In a location that the spec names, only the folder of attempts is searched, because the rest
    may hold other files.
    """
    stored = list(storage.list("" if job.spec.output_uri is None else ATTEMPTS))
    now = backends.store.get(job.id)
    listed = {artifact.key for artifact in backends.store.artifacts(job.id)}
    return [file for file in stored if file.key not in listed and not _is_written(file.key, now)]


def _is_written(key: str, job: Job) -> bool:
    """Return whether the attempt that holds the job may write the file.

    A worker of an earlier version may hold the job. It writes outside the folder of its attempt.
    """
    of_another = key.startswith(f"{ATTEMPTS}/") and not key.startswith(f"{ATTEMPTS}/{job.attempt}/")
    return job.status in LEASED and not of_another
