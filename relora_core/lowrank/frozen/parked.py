"""Numbers that are read once in a thousand steps wait in a file, and take no memory until then."""

import tempfile
from collections.abc import Callable
from functools import partial
from mmap import ACCESS_COPY, MADV_DONTNEED, mmap

import torch
from torch import Tensor


def park(tensor: Tensor) -> Callable[[], Tensor]:
    """Put a tensor of the CPU into a file without a name; return what reads it, each time anew.

    The file lies where temporary files do (`TMPDIR`), and is gone with its last reader or the
    process, however that ends. Where it cannot be written, the tensor stays in memory.
    """
    if tensor.numel() == 0:
        return lambda: tensor
    try:
        mapped = _in_a_file(tensor)
    except OSError:  # a full disk, or too many open files: no reason to end a run
        return lambda: tensor

    return partial(_read, mapped, tensor.dtype, tensor.shape)


def _read(mapped: mmap, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    tensor = torch.frombuffer(mapped, dtype=dtype).view(shape).clone()
    mapped.madvise(MADV_DONTNEED)  # or the pages that were read would stay with the process
    return tensor


def _in_a_file(tensor: Tensor) -> mmap:
    with tempfile.TemporaryFile() as file:
        file.write(tensor.contiguous().numpy().data)
        file.flush()
        return mmap(file.fileno(), 0, access=ACCESS_COPY)  # lives on when the file is closed
