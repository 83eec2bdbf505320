"""The memory of a GPU, as torch's allocator reports it."""

from typing import Protocol

import torch

from relora_core.estimate.gpus import USABLE


class DeviceMemory(Protocol):
    """The memory of a device that an attempt may fill without ending the process."""

    def usable(self) -> int:
        """Return the bytes that this process may use at most, with those that it uses now."""

    def allocated(self) -> int:
        """Return the bytes of all tensors."""

    def peak(self) -> int:
        """Return the most bytes that tensors had since `reset_peak`."""

    def reset_peak(self) -> None: ...

    def release(self) -> None:
        """Return unused memory to the device, so that other libraries can allocate it."""


class CudaMemory:
    """The memory of an NVIDIA GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def usable(self) -> int:
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(USABLE * (free + torch.cuda.memory_reserved(self._device)))

    def allocated(self) -> int:
        return torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device)

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self._device)

    def release(self) -> None:
        torch.cuda.empty_cache()


def memory_of(device: torch.device) -> DeviceMemory | None:
    """Return the memory of a GPU. A CPU has none: running out of it ends the process."""
    return CudaMemory(device) if device.type == "cuda" else None
