"""What is left on the disk of this machine: scratch folders, copies that were not finished, whose
dataset is gone or that no job uses, bodies of requests.
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

NOT_UPLOADED = "model_not_uploaded"  # the error of a job whose model is on its worker alone
SPOOL = "relora-upload-"  # begins the names of the API's folders in that of temporary files
GENERATION = "relora-generation-"  # as SPOOL, of the generator's


def collect_leftovers(backends: Backends, *, dry_run: bool) -> Iterator[Garbage]:
    """Find and delete what is left on this machine; nothing that may be written to still."""
    cache = backends.settings.cache_dir
    found = chain(
        (("scratch folder", folder) for folder in finished_scratch(backends)),
        needless_copies(backends),
        (("unfinished copy", folder) for folder in _unfinished_copies(cache)),
        (("unfinished copy", folder) for folder in _unfinished_models(cache)),
        (("temporary folder", folder) for folder in _temporary()),
    )
    for kind, folder in found:  # each is deleted before the next is looked for
        sizes = [found.st_size for found in _entries(folder) if S_ISREG(found.st_mode)]
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
        yield Garbage(kind, str(folder), len(sizes), sum(sizes))


def finished_scratch(backends: Backends) -> Iterator[Path]:
    """The folders of jobs that are over, and of those that are deleted for so long that nothing
    runs there; never a model that is nowhere else."""
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
    """Staged copies that no attempt on this node names, each with what it is: those of deleted
    datasets, and those that none began with for long.

    A copy is locked until the next one is asked for, so that no attempt begins with it meanwhile.
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
    """Who makes, begins to use or deletes a staged copy has this lock."""
    return FileLock(copy.with_name(f".{copy.name}.lock"))


def _locked(copies: Iterable[Path]) -> Iterator[Path]:
    """Each that no attempt has locked, and that is ours; locked until the next one is asked for."""
    for copy in copies:
        with suppress(Timeout, PermissionError), lock_of_copy(copy).acquire(timeout=0):
            yield copy


def _staged(scratch: Path) -> str:
    """What the attempts on this node say of the copies that their trainers read."""
    texts: list[str] = []
    for file in scratch.glob(f"*/*/{STAGED}"):
        with suppress(FileNotFoundError):  # the job is over now
            texts.append(file.read_text())
    return "".join(texts)


def _unfinished_copies(cache: Path) -> Iterator[Path]:
    """Of processes that were killed; locked as in `needless_copies`."""
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
    """Of this user; a link that another put there is not followed."""
    for prefix in (SPOOL, GENERATION):
        for folder in Path(gettempdir()).glob(f"{prefix}*"):
            ours = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if ours and _is_given_up(folder):
                yield folder


def _is_given_up(folder: Path) -> bool:
    """Whether nothing in it was written for long."""
    newest = max((found.st_mtime for found in _entries(folder)), default=0.0)
    return time.time() - newest > GIVEN_UP_AFTER.total_seconds()


def _entries(folder: Path) -> Iterator[os.stat_result]:
    """The folder and all below it, but for what is deleted meanwhile."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            yield path.lstat()
