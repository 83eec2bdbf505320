"""How the memory of a process is taken from the system and given back, where a CPU trains.

A step allocates and frees the same large tensors again and again. glibc takes each from the system
and returns it, and the system clears its pages each time: a tenth of a step on two cores. Kept, the
memory is used again by the next step.
"""

import ctypes
import gc
import os
import platform
import resource
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt, as malloc.h numbers them


def keep_freed_memory() -> None:
    """Have this process keep what it frees, unless its environment tunes malloc already."""
    libc = _glibc()
    if libc is None or _is_tuned():
        return
    libc.mallopt(_MMAP_MAX, 0)  # no tensor gets a mapping of its own
    libc.mallopt(_TRIM_THRESHOLD, -1)  # nothing is returned by itself


def return_freed_memory() -> None:
    """Give the system what is kept and not in use, for when tensors of other sizes follow.

    Garbage that holds itself is freed first: a compiler leaves it.
    """
    gc.collect()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def peak_of_process() -> int:
    """The most memory, in bytes, that this process ever had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _glibc() -> ctypes.CDLL | None:
    """glibc if that is the process's C library; others have no such parameters."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _is_tuned() -> bool:
    variables = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc" in tunables or any(name in os.environ for name in variables)
