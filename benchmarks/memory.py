"""Peak memory of a process, from a moment on."""

import re
from pathlib import Path

import torch


def reset_peak(device: str) -> None:
    """Of this process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak_of("self")


def peak_bytes(device: str) -> int:
    """Since `reset_peak`: of tensors on a GPU; on a CPU of the whole process, Python too."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_of("self")


def reset_peak_of(pid: int | str) -> None:
    # Writing 5 resets VmHWM; see proc_pid_clear_refs(5).
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int | str) -> int:
    """The most resident memory that a process had since `reset_peak_of`, as Linux counts it."""
    return _status(pid, "VmHWM")


def resident_of(pid: int | str) -> int:
    """The resident memory that a process has."""
    return _status(pid, "VmRSS")


def _status(pid: int | str, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None, "Linux has it"
    return int(found[1]) * 1024
