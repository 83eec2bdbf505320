"""What killed processes left on the disk of this machine: scratch folders, copies that were not
finished or whose dataset is gone, bodies of requests.
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

NOT_UPLOADED = "model_not_uploaded"  # the error of a job whose model is on its worker alone
SPOOL = "relora-upload-"  # begins the names of the API's folders in that of temporary files
GENERATION = "relora-generation-"  # as SPOOL, of the generator's


def collect_leftovers(backends: Backends, *, dry_run: bool) -> Iterator[Garbage]:
    """Find and delete what is left on this machine; nothing that may be written to still."""
    found = [
        *(("scratch folder", folder) for folder in finished_scratch(backends)),
        *(("copy of a deleted dataset", folder) for folder in _copies_of_deleted(backends)),
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


def _copies_of_deleted(backends: Backends) -> Iterator[Path]:
    """No job that is not over names them, or they could not have been deleted."""
    copies = [*backends.settings.cache_dir.glob("*/staged/ds_*")]
    existing = backends.datasets.existing({copy.name for copy in copies})
    yield from (copy for copy in copies if copy.name not in existing)


def _unfinished(cache: Path) -> Iterator[Path]:
    for pattern in ("*/staged/.*.unfinished", "*/models/.unfinished-*"):
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
