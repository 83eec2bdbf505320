"""Data in S3 is copied into the node's cache before the trainer, which knows no cloud, starts.

A copy is named by what it is a copy of: objects that changed make another folder, and jobs
with the same data share one.
"""

import hashlib
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from jobs.storage import StoredFile, open_storage
from relora_core.errors import DataError
from relora_core.spec import Source
from worker.attempt import Attempt

SCHEME = "s3://"
WILDCARDS = "*?["


def stage(attempt: Attempt) -> dict[str, str]:
    """Return where the copy of each s3:// source is: the spec's URI to a local one.

    Raises `DataError` if a source names nothing, `StopRequested` between two files.
    """
    data = attempt.job.spec.data
    sources = [source for source in (data.train, data.validation) if isinstance(source, Source)]
    remote = {source.uri for source in sources if source.uri.startswith(SCHEME)}
    return {uri: _copy(attempt, uri) for uri in sorted(remote)}


def _copy(attempt: Attempt, uri: str) -> str:
    bucket, _, pattern = uri.removeprefix(SCHEME).partition("/")
    storage = open_storage(SCHEME + bucket, attempt.secrets.s3)
    files = [file for file in storage.list(_folder(pattern)) if matches(file.key, pattern)]
    if not files:
        raise DataError(f"no object matches {uri!r}")
    folder = attempt.backends.settings.cache_dir / "staged" / _name(bucket, files)
    for number, file in enumerate(files):
        attempt.check_stop()
        copy = folder / f"{number:05d}-{Path(file.key).name}"  # the order of the keys
        if not copy.exists():  # whole, if it is there
            attempt.insist(partial(storage.download, file.key, copy))
    return f"file://{folder}/*"


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
