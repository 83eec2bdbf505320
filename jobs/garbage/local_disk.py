"""The garbage collection on the disk of this machine.

It deletes scratch folders of finished jobs, copies of data that are unfinished, unused or of
deleted datasets, and old temporary folders.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from tempfile import gettempdir

from filelock import FileLock, Timeout

from jobs.backends import Backends
from jobs.errors import JobNotFound
from jobs.garbage.storage import GIVEN_UP_AFTER, Garbage
from jobs.schemas.job import Job
from jobs.schemas.status import FINAL
from relora_core.workdir.files import STAGED

NOT_UPLOADED = "model_not_uploaded"  # the error of a job whose model is only on its worker
SPOOL = "relora-upload-"  # the name prefix of the API's temporary folders
GENERATION = "relora-generation-"  # the name prefix of the generator's temporary folders


def collect_leftovers(backends: Backends, *, dry_run: bool) -> Iterator[Garbage]:
    """Find and delete the garbage on this machine, but nothing that may still be in use.

    With `dry_run`, delete nothing.
    """
    cache = backends.settings.cache_dir
    found = chain(
        (("scratch folder", folder) for folder in finished_scratch(backends)),
        needless_copies(backends),
        (("unfinished copy", folder) for folder in _unfinished_copies(cache)),
        (("unfinished copy", folder) for folder in _unfinished_models(cache)),
        (("temporary folder", folder) for folder in _temporary()),
    )
    for kind, folder in found:  # lazily: each folder is deleted before the next search step
        sizes = [found.st_size for found in _entries(folder) if S_ISREG(found.st_mode)]
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
        yield Garbage(kind, str(folder), len(sizes), sum(sizes))


def finished_scratch(backends: Backends) -> Iterator[Path]:
    """Yield the scratch folders of jobs that are over, and old ones of deleted jobs.

    A folder with the only copy of a model is never among them.
    """
    for folder in backends.settings.scratch_dir.glob("*"):
        try:
            job = backends.store.get(folder.name)
        except JobNotFound:
            if folder.name.startswith("job_") and _is_given_up(folder):
                yield folder
        else:
            if job.status in FINAL and not _has_only_copy(job):
                yield folder


def _has_only_copy(job: Job) -> bool:
    return job.error is not None and job.error.code == NOT_UPLOADED


def needless_copies(backends: Backends) -> Iterator[tuple[str, Path]]:
    """Yield staged copies of data that no attempt on this node uses, each with its kind.

    They are copies of deleted datasets, and copies that were not used for a day. A copy stays
    locked until the next one is asked for, so that no attempt starts to use it meanwhile.
    """
    copies = [*backends.settings.cache_dir.glob("*/staged/[!.]*")]
    existing = backends.datasets.existing({copy.name for copy in copies})
    for copy in _locked(copies):
        if copy.name in _staged(backends.settings.scratch_dir):
            continue
        if copy.name.startswith("ds_") and copy.name not in existing:
            yield "copy of a deleted dataset", copy
        elif _is_given_up(copy):
            yield "unused copy", copy


def lock_of_copy(copy: Path) -> FileLock:
    """Return the lock that is needed to make, start to use or delete a staged copy."""
    return FileLock(copy.with_name(f".{copy.name}.lock"))


def _locked(copies: Iterable[Path]) -> Iterator[Path]:
    """Yield the copies that no other process has locked and that this user may lock.

    Each copy stays locked until the next one is asked for.
    """
    for copy in copies:
        with suppress(Timeout, PermissionError), lock_of_copy(copy).acquire(timeout=0):
            yield copy


def _staged(scratch: Path) -> str:
    """Return the text of all lists of staged copies that the attempts on this node use."""
    texts: list[str] = []
    for file in scratch.glob(f"*/*/{STAGED}"):
        with suppress(FileNotFoundError):  # the job ended meanwhile
            texts.append(file.read_text())
    return "".join(texts)


def _unfinished_copies(cache: Path) -> Iterator[Path]:
    """Yield old unfinished copies of killed processes, locked as in `needless_copies`."""
    unfinished = {
        folder.with_name(folder.name[1:].removesuffix(".tmp")): folder
        for folder in cache.glob("*/staged/.*.tmp/")
    }
    for copy in _locked(unfinished):
        if _is_given_up(unfinished[copy]):
            yield unfinished[copy]


def _unfinished_models(cache: Path) -> Iterator[Path]:
    return filter(_is_given_up, cache.glob("*/models/.unfinished-*"))


def _temporary() -> Iterator[Path]:
    """Yield old temporary folders of this user. Do not follow symbolic links."""
    for prefix in (SPOOL, GENERATION):
        for folder in Path(gettempdir()).glob(f"{prefix}*"):
            ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if ours and _is_given_up(folder):
                yield folder


def _is_given_up(folder: Path) -> bool:
    """Return whether nothing in the folder was written for `GIVEN_UP_AFTER`."""
    newest = max((found.st_mtime for found in _entries(folder)), default=0.0)
    return time.time() - newest > GIVEN_UP_AFTER.total_seconds()


def _entries(folder: Path) -> Iterator[os.stat_result]:
    """Yield the stat of the folder and of everything below it. Skip what was just deleted."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            yield path.lstat()
