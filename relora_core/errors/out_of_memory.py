"""Recognize that a device ran out of memory, also where a library allocates outside of torch."""

import torch

# torch's allocator has an error of its own. cuBLAS, cuDNN and NCCL ask the driver themselves, and
# their failures are plain errors with these texts.
_FAILED_ALLOCATIONS = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "Cuda failure 2 'out of memory'",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that the memory of the device or of the process is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in _FAILED_ALLOCATIONS
    )
