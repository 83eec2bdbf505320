"""Peak memory of a process since a reset."""

import re
from pathlib import Path

import torch


def reset_peak(device: str) -> None:
    """Reset the peak memory of this process."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak_of("self")


def peak_bytes(device: str) -> int:
    """Return the peak memory in bytes since `reset_peak`.

    On a GPU it is that of the tensors. On a CPU it is that of the whole process, with Python.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_of("self")


def reset_peak_of(pid: int | str) -> None:
    # Writing 5 resets VmHWM; see proc_pid_clear_refs(5).
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int | str) -> int:
    """Return the peak resident memory of a process since `reset_peak_of`, as Linux counts it."""
    return _status(pid, "VmHWM")


def resident_of(pid: int | str) -> int:
    """Return the resident memory of a process."""
    return _status(pid, "VmRSS")


def _status(pid: int | str, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None, "Linux has it"
    return int(found[1]) * 1024
