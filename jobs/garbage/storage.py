"""What is in the storage and nobody needs: parts of uploads that were given up, and what could not
be deleted when it left a list.

Files are looked for before the lists are read, so none that is listed meanwhile is taken for
garbage. What the attempt that holds a job may write is left alone, and so is what is in no list yet
and younger than a day.
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
GIVEN_UP_AFTER = timedelta(days=1)  # what nobody wrote to for so long does not go on


@dataclass(frozen=True)
class Garbage:
    """What was found in one place."""

    kind: str
    where: str
    files: int
    size: int


Finder = Callable[[], Iterator[Garbage]]
Report = Callable[[str], None]  # is told what was passed over, and why


def collect_garbage(
    backends: Backends,
    *,
    dry_run: bool,
    changed_since: datetime | None = None,
    deleted_jobs: bool = False,
    passed_over: Report = logger.warning,
) -> Iterator[Garbage]:
    """Find and delete garbage in the storage: of all jobs, or of those that changed lately.

    `deleted_jobs` takes the files of deleted jobs, too, which a delete without `artifacts` kept. A
    storage that cannot be reached is passed over.
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
        """Datasets that got no byte for so long as the settings say, and deleted ones."""
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
        """The storage was away when the job was deleted with its files."""
        files = list(files_of(self.backends, job))
        if not self.dry_run:
            delete_files(self.backends, job.id)
        yield Garbage(FILES_OF_DELETED, job.id, len(files), sum(file.size for file in files))

    def of_deleted_jobs(self) -> Iterator[Garbage]:
        storage = self.backends.own_storage()
        stored = list(storage.list(JOBS))
        known = set(_ids(self.backends, None))
        known |= {job.id for job in self.backends.deleted_jobs.list()}  # see `left_of`
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
    """The files of a job that neither its list names nor a running attempt writes.

    A place that its spec names may hold files of others beside the folder of attempts.
    """
    stored = list(storage.list("" if job.spec.output_uri is None else ATTEMPTS))
    now = backends.store.get(job.id)
    listed = {artifact.key for artifact in backends.store.artifacts(job.id)}
    return [file for file in stored if file.key not in listed and not _is_written(file.key, now)]


def _is_written(key: str, job: Job) -> bool:
    """An earlier version may hold the job; its files have no folder of the attempt."""
    of_another = key.startswith(f"{ATTEMPTS}/") and not key.startswith(f"{ATTEMPTS}/{job.attempt}/")
    return job.status in LEASED and not of_another
