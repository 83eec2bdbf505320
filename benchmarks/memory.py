"""Peak memory of this process, from a moment on."""

import re
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")  # writing 5 resets VmHWM; see proc_pid_clear_refs(5)


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        _CLEAR.write_text("5")


def peak_bytes(device: str) -> int:
    """Since `reset_peak`: of tensors on a GPU; on a CPU of the whole process, Python too."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.M)
    assert found is not None, "Linux has it"
    return int(found[1]) * 1024
