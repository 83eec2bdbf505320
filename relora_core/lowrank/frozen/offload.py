"""Keep a tensor that is rarely read in a file, so that it takes no memory until then."""

import tempfile
from collections.abc import Callable
from functools import partial
from mmap import ACCESS_COPY, MADV_DONTNEED, mmap

import torch
from torch import Tensor


def offload_to_disk(tensor: Tensor) -> Callable[[], Tensor]:
    """Write a CPU tensor to an unnamed file. Return a function that reads a new copy of it.

    The file is in the directory of temporary files (`TMPDIR`). It is deleted with its last reader
    or when the process ends in any way. If it cannot be written, the tensor stays in memory.
    """
    if tensor.numel() == 0:
        return lambda: tensor
    try:
        mapped = _in_a_file(tensor)
    except OSError:  # a full disk or too many open files must not end the run
        return lambda: tensor

    return partial(_read, mapped, tensor.dtype, tensor.shape)


def _read(mapped: mmap, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    tensor = torch.frombuffer(mapped, dtype=dtype).view(shape).clone()
    mapped.madvise(MADV_DONTNEED)  # otherwise the pages read would stay in the process's memory
    return tensor


def _in_a_file(tensor: Tensor) -> mmap:
    with tempfile.TemporaryFile() as file:
        file.write(tensor.contiguous().numpy().data)
        file.flush()
        return mmap(file.fileno(), 0, access=ACCESS_COPY)  # stays valid after the file is closed
