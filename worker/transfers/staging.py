"""Staging: copies remote data to the node's cache before the trainer starts.

The data are objects in S3, uploaded datasets and files of other jobs. The trainer itself knows no
cloud and no service. The name of a copy depends on its content: changed objects get a new folder,
and jobs with the same data share one folder.
"""

import glob
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from filelock import Timeout

from jobs.errors import DatasetNotFound, JobNotFound
from jobs.garbage.local_disk import lock_of_copy
from jobs.schemas.datasets import SCHEME as UPLOAD
from jobs.schemas.datasets import UploadedDataset
from jobs.schemas.job import Artifact, Job
from jobs.schemas.job_uris import parse, uris_of
from jobs.schemas.storage_url import S3, bucket_and_key
from jobs.storage import StoredFile, open_storage
from relora_core.errors import DataError, DataUnavailable, ModelError
from relora_core.files import new_folder, publish_file, sha256
from relora_core.spec import STAGED_SCHEMES
from worker.attempt.attempt import Attempt

WILDCARDS = "*?["


def stage(attempt: Attempt) -> dict[str, str]:
    """Copy each s3://, upload:// and job:// source. Return a map from its URI to the local path.

    Raise `DataError` or `ModelError` if a source does not exist. Raise `StopRequested` between two
    files if the attempt must stop.
    """
    places = attempt.job.spec.places()
    remote = {uri for _, uri in places if uri.startswith(STAGED_SCHEMES)}
    copies = {
        uri: _join_upload(attempt, uri) if uri.startswith(UPLOAD) else _copy(attempt, uri)
        for uri in sorted(remote)
    }
    of_jobs = {uri for _, uri in uris_of(attempt.job.spec)}
    return copies | {uri: _copy_of_a_job(attempt, uri) for uri in sorted(of_jobs)}


@dataclass(frozen=True)
class Remote:
    """A remote file to copy.

    `label` names it in messages, `name` is its name in the folder of the copy.
    """

    label: str
    name: str
    size: int
    sha256: str | None  # None if the storage does not list it
    fetch: Callable[[Path], None]

    def checked(self, copy: Path) -> str:
        """Return the sha256 of a copy. Raise `DataError` if the copy differs from this file."""
        digest = sha256(copy)
        if copy.stat().st_size != self.size or self.sha256 not in {None, digest}:
            raise DataError(f"the storage does not have {self.label} as it was uploaded")
        return digest


def whole_copy(attempt: Attempt, name: str, files: Sequence[Remote]) -> Path:
    """Return a folder with exactly these files, each verified.

    If a file is missing or damaged, fetch all files again. One rename publishes the complete
    folder. If two workers of a node need it, one fetches it and the other waits. The modification
    time of the folder is the time of its last use; a folder that is unused for long is deleted.
    """
    folder = attempt.cache / "staged" / name
    record = folder.with_name(f".{name}.json")
    with _alone(attempt, folder):
        if folder.exists():
            folder.touch()  # before the check, so that it is not deleted
        if not _is_whole(folder, files, record):
            with new_folder(folder) as temporary:
                digests = {}
                for file in files:
                    attempt.check_stop()
                    attempt.retry_while_leased(partial(file.fetch, temporary / file.name))
                    digests[file.name] = file.checked(temporary / file.name)
                publish_file(record, json.dumps(digests).encode())
    return folder


@contextmanager
def _alone(attempt: Attempt, copy: Path) -> Iterator[None]:
    copy.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of_copy(copy)
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            attempt.check_stop()
    try:
        yield
    finally:
        lock.release()


def _is_whole(folder: Path, files: Sequence[Remote], record: Path) -> bool:
    """Return whether the folder has all files, unchanged.

    `record` is the file with the sha256 of each file at the time of its download.
    """
    try:
        digests = json.loads(record.read_bytes())
        return sorted(file.name for file in folder.iterdir()) == sorted(digests) and all(
            sha256(folder / file.name) == (file.sha256 or digests[file.name]) for file in files
        )
    except (OSError, ValueError, KeyError):
        return False


def _copy(attempt: Attempt, uri: str) -> str:
    bucket, pattern = bucket_and_key(uri)
    storage = open_storage(S3 + bucket, attempt.secrets.s3)
    listed = attempt.retry_while_leased(lambda: list(storage.list(_folder(pattern))))
    files = [file for file in listed if matches(file.key, pattern)]
    if not files:
        raise DataError(f"no object matches {uri!r}")
    wanted = [
        Remote(
            label=f"{S3}{bucket}/{file.key}",
            name=f"{number:05d}-{Path(file.key).name}",  # keeps the order of the keys
            size=file.size,
            sha256=None,
            fetch=partial(storage.download, file.key, version=file.version),
        )
        for number, file in enumerate(files)
    ]
    try:
        folder = whole_copy(attempt, _name(bucket, files), wanted)
    except FileNotFoundError as error:
        raise DataUnavailable(
            f"{S3}{bucket}/{error} was replaced or deleted while it was copied; data must stay "
            "as it is until a job has read it"
        ) from error
    return f"{glob.escape(str(folder))}/*"


def _copy_of_a_job(attempt: Attempt, uri: str) -> str:
    """Copy the files that another job saved. Raise `ModelError` if they no longer exist."""
    backends = attempt.backends
    try:
        other, files = _saved(attempt, uri)
        storage = backends.storage_for(other)
        wanted = [
            Remote(
                label=f"{uri}/{Path(file.path).name}",
                name=Path(file.path).name,
                size=file.size,
                sha256=file.sha256,
                fetch=partial(storage.download, file.key),
            )
            for file in files
        ]
        name = repr([(file.path, file.sha256) for file in files]).encode()
        folder = whole_copy(attempt, hashlib.sha256(name).hexdigest()[:32], wanted)
    except (JobNotFound, FileNotFoundError) as error:
        raise ModelError(f"{uri} names files that are no longer there") from error
    return str(folder)


def _saved(attempt: Attempt, uri: str) -> tuple[Job, list[Artifact]]:
    """Return the job that the URI names, and its files in the named folder.

    Raise `FileNotFoundError` if there are none.
    """
    job_id, folder = parse(uri) or (uri, "")
    store = attempt.backends.store
    job = attempt.retry_while_leased(partial(store.get, job_id))
    listed = attempt.retry_while_leased(partial(store.artifacts, job_id))
    files = [file for file in listed if file.path.rpartition("/")[0] == folder]
    if not files:
        raise FileNotFoundError(uri)
    return job, files


def _join_upload(attempt: Attempt, uri: str) -> str:
    backends, dataset_id = attempt.backends, uri.removeprefix(UPLOAD)
    try:
        dataset = attempt.retry_while_leased(
            partial(backends.datasets.get, attempt.project, dataset_id)
        )
        wanted = Remote(
            label=f"dataset {dataset.id}",
            name=dataset.filename,
            size=dataset.size,
            sha256=dataset.sha256,
            fetch=partial(_write_upload, attempt, dataset),
        )
        folder = whole_copy(attempt, dataset.id, [wanted])
    except (DatasetNotFound, FileNotFoundError) as error:
        raise DataError(f"the dataset of {uri!r} was deleted") from error
    return str(folder / dataset.filename)


def _write_upload(attempt: Attempt, dataset: UploadedDataset, copy: Path) -> None:
    storage, parts = attempt.backends.own_storage(), attempt.backends.datasets.parts(dataset.id)
    with copy.open("wb") as file:
        for part in parts:
            attempt.check_stop()
            for chunk in storage.read(part.key, 0, part.size):
                file.write(chunk)


def matches(key: str, pattern: str) -> bool:
    """Return whether a key matches the pattern. As in a shell, `*` does not match a slash."""
    names, patterns = key.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _folder(pattern: str) -> str:
    """Return the path up to the first part with a wildcard, or the whole pattern if it has none."""
    parts = pattern.split("/")
    wild = [number for number, part in enumerate(parts) if any(sign in part for sign in WILDCARDS)]
    return "/".join(parts[: wild[0]] if wild else parts)


def _name(bucket: str, files: list[StoredFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(repr((bucket, file.key, file.size, file.version)).encode())
    return digest.hexdigest()[:32]
