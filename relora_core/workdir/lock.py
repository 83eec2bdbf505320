"""Allow one trainer at a time in a workdir, because two would write the same files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from relora_core.errors import WorkdirInUse

LOCK = ".lock"


@contextmanager
def only_trainer(workdir: Path, *, is_main: bool) -> Iterator[None]:
    """Lock the workdir on the main rank, for all ranks. Raise `WorkdirInUse` if it is locked.

    The kernel releases the lock when the process ends in any way, so a leftover lock file has no
    meaning. The thread that holds the lock can acquire it again.
    """
    if not is_main:
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workdir / LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise WorkdirInUse(
            f"another process trains in {workdir}; wait for it to end or stop it, or take another "
            "workdir"
        ) from error
    try:
        yield
    finally:
        lock.release()
