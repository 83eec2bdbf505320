"""Control how a process that trains on a CPU keeps and returns memory.

Each step allocates and frees the same large tensors. glibc takes the memory of each from the system
and returns it, and the system clears its pages each time. This takes a tenth of a step on two
cores. If the process keeps the memory, the next step uses it again.
"""

import ctypes
import gc
import os
import platform
import resource
import sys
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # the numbers of mallopt's parameters in malloc.h


def keep_freed_memory() -> None:
    """Make this process keep freed memory, unless its environment already tunes malloc."""
    libc = _glibc()
    if libc is None or _is_tuned():
        return
    libc.mallopt(_MMAP_MAX, 0)  # no tensor gets its own mapping
    libc.mallopt(_TRIM_THRESHOLD, -1)  # nothing is returned automatically


def return_freed_memory() -> None:
    """Return unused memory to the system, when tensors of other sizes will follow.

    Collect reference cycles first, because the compiler leaves some.
    """
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def peak_of_process() -> int:
    """Return the peak resident memory of this process, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_of_process() -> int | None:
    """Return the resident memory of this process, in bytes, or None if the system has no /proc."""
    file = Path("/proc/self/statm")
    if not file.exists():
        return None
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _glibc() -> ctypes.CDLL | None:
    """Return glibc, or None if the process uses another C library, without these parameters."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _is_tuned() -> bool:
    variables = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc" in tunables or any(name in os.environ for name in variables)
