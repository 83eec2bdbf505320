"""Health checks of this node, before each claim and after each failed attempt.

A worker on an unhealthy node claims no job. An attempt that failed on an unhealthy node does not
count as a try of its job.
"""

import errno
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

from jobs.settings import Settings
from relora_core.counted import counted

NODE_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ENOMEM,
    errno.ENFILE,
}
GPU_SECONDS = 600.0  # GPUs that worked within this time are not tested again
MIN_FREE_MEMORY_BYTES = 256 << 20
_MEMINFO = Path("/proc/meminfo")
_TRY_SECONDS = 120.0  # torch takes long to load on a busy node
_TRY_GPUS = """
from worker.node.gpu_check import main
main()
"""


def is_node_error(error: BaseException) -> bool:
    """Return whether an exception means that the node is unhealthy, whatever the job does."""
    if isinstance(error, OSError):
        return error.errno in NODE_ERRORS
    return isinstance(error, MemoryError)


class Health:
    """Checks of the disk, the memory and the GPUs of this node."""

    def __init__(self, settings: Settings, *, num_gpus: int = 0) -> None:
        self.num_gpus = num_gpus
        self._folders = (settings.scratch_dir, settings.cache_dir)
        self._min_free_bytes = settings.min_free_disk_bytes
        self._gpu_problem: str | None = None
        self._gpus_worked_at = -math.inf

    def problem(self, *, gpus_worked_within: float = GPU_SECONDS) -> str | None:
        """Check the disk, the memory and the GPUs. Return what is wrong, or None.

        The GPUs are tested only if their last successful test is more than `gpus_worked_within`
        seconds ago. With `math.inf` their last result is returned.
        """
        return self._disk_problem() or memory_problem() or self._look_at_gpus(gpus_worked_within)

    def _disk_problem(self) -> str | None:
        found = (disk_problem(folder, self._min_free_bytes) for folder in self._folders)
        return next(filter(None, found), None)

    def _look_at_gpus(self, worked_within: float) -> str | None:
        if self.num_gpus and time.monotonic() - self._gpus_worked_at > worked_within:
            self._gpu_problem = gpu_problem(self.num_gpus)
            self._gpus_worked_at = -math.inf if self._gpu_problem else time.monotonic()
        return self._gpu_problem


def disk_problem(folder: Path, min_free_bytes: int) -> str | None:
    """Write into a folder. Return a message if that fails or too little space is free."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"written to see whether it can be")
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"cannot write into {folder}: {error.strerror}"
    if free < min_free_bytes:
        return (
            f"{folder} has {counted(free, 'byte')} free, less than RELORA_MIN_FREE_DISK_BYTES "
            f"({min_free_bytes:,})"
        )
    return None


def memory_problem() -> str | None:
    """Return a message if too little memory is free to start a trainer.

    Return None on systems without /proc/meminfo, which only Linux has.
    """
    if not _MEMINFO.exists():
        return None
    figures = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    free = int(figures["MemAvailable"].split()[0]) << 10
    if free >= MIN_FREE_MEMORY_BYTES:
        return None
    return f"{counted(free, 'byte')} of memory are free, less than {MIN_FREE_MEMORY_BYTES:,}"


def gpu_problem(num_gpus: int) -> str | None:
    """Return a message if PyTorch cannot use the GPUs, or if one of them computes wrongly.

    The test runs in a separate process, so that no GPU memory stays allocated afterwards.
    """
    command = [sys.executable, "-c", _TRY_GPUS, str(num_gpus)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TRY_SECONDS)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"exit code {error.returncode}"]
        return f"the GPUs cannot be used: {said[-1]}"
    except subprocess.TimeoutExpired:
        return f"the GPUs cannot be used: no answer in {_TRY_SECONDS:g} s"
    except OSError as error:
        return f"the GPUs cannot be tried: {error}"
    return None
