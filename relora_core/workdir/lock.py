"""One trainer at a time in a workdir: two would write the same checkpoints and events."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from relora_core.errors import WorkdirInUse

LOCK = ".lock"


@contextmanager
def only_trainer(workdir: Path, *, is_main: bool) -> Iterator[None]:
    """Hold the workdir on the main rank, for all of them. Raises `WorkdirInUse`.

    The kernel lets go of it when the process ends, however it ends, so the file that stays means
    nothing. Who holds it already in this thread may ask again.
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
