"""Data in S3 and uploads are copied into the node's cache before the trainer starts, which knows
no cloud and no service.

A copy is named by what it is a copy of: objects that changed make another folder, and jobs
with the same data share one.
"""

import hashlib
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.datasets.models import SCHEME as UPLOAD
from jobs.datasets.models import Dataset
from jobs.errors import DatasetNotFound, JobNotFound
from jobs.job_uris import parse, uris_of
from jobs.models import Artifact, Job
from jobs.storage import StoredFile, open_storage
from relora_core.errors import DataError, ModelError
from relora_core.files import sha256
from relora_core.spec import STAGED_SCHEMES, Source
from worker.attempt import Attempt

SCHEME = "s3://"
WILDCARDS = "*?["


def stage(attempt: Attempt) -> dict[str, str]:
    """Return where the copy of each s3://, upload:// and job:// source is: the spec's URI to a
    local one.

    Raises `DataError` if a source names nothing, `StopRequested` between two files.
    """
    data = attempt.job.spec.data
    sources = [source for source in (data.train, data.validation) if isinstance(source, Source)]
    remote = {source.uri for source in sources if source.uri.startswith(STAGED_SCHEMES)}
    copies = {
        uri: _join_upload(attempt, uri) if uri.startswith(UPLOAD) else _copy(attempt, uri)
        for uri in sorted(remote)
    }
    of_jobs = {uri for _, uri in uris_of(attempt.job.spec)}
    return copies | {uri: _copy_of_a_job(attempt, uri) for uri in sorted(of_jobs)}


def _copy(attempt: Attempt, uri: str) -> str:
    bucket, _, pattern = uri.removeprefix(SCHEME).partition("/")
    storage = open_storage(SCHEME + bucket, attempt.secrets.s3)
    files = [file for file in storage.list(_folder(pattern)) if matches(file.key, pattern)]
    if not files:
        raise DataError(f"no object matches {uri!r}")
    folder = attempt.cache / "staged" / _name(bucket, files)
    for number, file in enumerate(files):
        attempt.check_stop()
        copy = folder / f"{number:05d}-{Path(file.key).name}"  # the order of the keys
        if not copy.exists():  # whole, if it is there
            attempt.insist(partial(storage.download, file.key, copy))
    return f"file://{folder}/*"


def _copy_of_a_job(attempt: Attempt, uri: str) -> str:
    """A folder with what another job saved. Raises `ModelError` if that is gone."""
    backends = attempt.backends
    try:
        other, files = _saved(attempt, uri)
        name = repr([(file.path, file.sha256) for file in files]).encode()
        folder = attempt.cache / "staged" / hashlib.sha256(name).hexdigest()[:32]
        storage = backends.storage_for(other)
        for file in files:
            attempt.check_stop()
            copy = folder / Path(file.path).name
            if not copy.exists():  # whole, if it is there
                attempt.insist(partial(storage.download, file.key, copy))
    except (JobNotFound, FileNotFoundError) as error:
        raise ModelError(f"{uri} names files that are no longer there") from error
    return str(folder)


def _saved(attempt: Attempt, uri: str) -> tuple[Job, list[Artifact]]:
    """The job that the URI names, and its files there. Raises `FileNotFoundError` without any."""
    job_id, folder = parse(uri) or (uri, "")
    store = attempt.backends.store
    job = attempt.insist(partial(store.get, job_id))
    listed = attempt.insist(partial(store.artifacts, job_id))
    files = [file for file in listed if file.path.rpartition("/")[0] == folder]
    if not files:
        raise FileNotFoundError(uri)
    return job, files


def _join_upload(attempt: Attempt, uri: str) -> str:
    backends, dataset_id = attempt.backends, uri.removeprefix(UPLOAD)
    try:
        dataset = attempt.insist(partial(backends.datasets.get, attempt.project, dataset_id))
        folder = attempt.cache / "staged" / dataset.id
        copy = folder / dataset.filename
        if not copy.exists():
            folder.mkdir(parents=True, exist_ok=True)
            attempt.insist(partial(_write_upload, attempt, dataset, copy))
    except (DatasetNotFound, FileNotFoundError) as error:
        raise DataError(f"the dataset of {uri!r} was deleted") from error
    return f"file://{copy}"


def _write_upload(attempt: Attempt, dataset: Dataset, copy: Path) -> None:
    """Whole or not at all; two attempts may do it side by side."""
    storage, parts = attempt.backends.own_storage(), attempt.backends.datasets.parts(dataset.id)
    with TemporaryDirectory(prefix=".unfinished-", dir=copy.parent) as folder:
        joined = Path(folder) / copy.name
        with joined.open("wb") as file:
            for part in parts:
                attempt.check_stop()
                for chunk in storage.read(part.key, 0, part.size):
                    file.write(chunk)
        if sha256(joined) != dataset.sha256:
            raise DataError(f"the storage does not have dataset {dataset.id} as it was uploaded")
        joined.replace(copy)


def matches(key: str, pattern: str) -> bool:
    """As in a shell: `*` does not reach over a slash."""
    names, patterns = key.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _folder(pattern: str) -> str:
    """The longest path that all keys of the pattern share; all of it, without wildcards."""
    parts = pattern.split("/")
    wild = [number for number, part in enumerate(parts) if any(sign in part for sign in WILDCARDS)]
    return "/".join(parts[: wild[0]] if wild else parts)


def _name(bucket: str, files: list[StoredFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(repr((bucket, file.key, file.size, file.version)).encode())
    return digest.hexdigest()[:32]
