"""What is left on the disk of this machine: scratch folders, copies that were not finished, whose
dataset is gone or that no job uses, bodies of requests.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from tempfile import gettempdir

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
    found = [
        *(("scratch folder", folder) for folder in finished_scratch(backends)),
        *needless_copies(backends),
        *(("unfinished copy", folder) for folder in _unfinished(backends.settings.cache_dir)),
        *(("temporary folder", folder) for folder in _temporary()),
    ]
    for kind, folder in found:
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
    """Staged copies, each with what it is: of deleted datasets, and those that no attempt on this
    node names and none began with for long."""
    copies = [*backends.settings.cache_dir.glob("*/staged/[!.]*")]
    existing = backends.datasets.existing({copy.name for copy in copies})
    in_use = _staged(backends.settings.scratch_dir)
    for copy in copies:
        if copy.name.startswith("ds_") and copy.name not in existing:
            yield "copy of a deleted dataset", copy
        elif copy.name not in in_use and _is_given_up(copy):
            yield "unused copy", copy


def _staged(scratch: Path) -> str:
    """What the attempts on this node say of the copies that their trainers read."""
    texts: list[str] = []
    for file in scratch.glob(f"*/*/{STAGED}"):
        with suppress(FileNotFoundError):  # the job is over now
            texts.append(file.read_text())
    return "".join(texts)


def _unfinished(cache: Path) -> Iterator[Path]:
    for pattern in ("*/staged/.*.tmp/", "*/models/.unfinished-*"):
        yield from filter(_is_given_up, cache.glob(pattern))


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
