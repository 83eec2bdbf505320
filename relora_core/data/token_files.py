"""Read sources that are already tokenized: `.npy` and raw `.bin` files, memory-mapped.

The ids are not changed, so they have to be ids of the run's tokenizer. A document ends at the
tokenizer's EOS and at the end of its file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relora_core.counted import counted
from relora_core.data.content import file_errors
from relora_core.errors import DataError
from relora_core.spec import Source

CHUNK = 2**24  # tokens checked at once

Ids = NDArray[np.integer]


def read_documents(
    files: list[Path], source: Source, *, eos: int, vocab_size: int
) -> Iterator[Ids]:
    """Yield the ids of each document that is not empty, without its EOS.

    Raise `DataError` for a file that is not an array of tokens, or for an id that is not in the
    vocabulary.
    """
    for file in files:
        tokens = _mapped(file, source)
        start = 0
        for begin in range(0, len(tokens), CHUNK):
            chunk = tokens[begin : begin + CHUNK]
            _check_ids(chunk, file, begin, vocab_size)
            for end in (np.flatnonzero(chunk == eos) + begin).tolist():
                if end > start:
                    yield tokens[start:end]
                start = end + 1
        if start < len(tokens):
            yield tokens[start:]


def _mapped(file: Path, source: Source) -> Ids:
    """Return the file's ids, memory-mapped."""
    if file.stat().st_size == 0:
        return np.empty(0, dtype=np.uint16)
    if file.suffix == ".bin":
        dtype = np.dtype(source.token_dtype).newbyteorder("<")
        if file.stat().st_size % dtype.itemsize:
            raise DataError(
                f"{file} has {counted(file.stat().st_size, 'byte')}, which are no whole tokens of "
                f"{source.token_dtype}; set token_dtype beside the uri, or copy the file again"
            )
        return np.memmap(file, dtype=dtype, mode="r")
    try:
        with file_errors(file):
            tokens: Ids = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(f"cannot read {file} as a .npy array: {error}") from error
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise DataError(
            f"{file} holds {tokens.dtype} of shape {tokens.shape}; token ids are one row of "
            "integers"
        )
    return tokens


def _check_ids(chunk: Ids, file: Path, begin: int, vocab_size: int) -> None:
    outside = (chunk < 0) | (chunk >= vocab_size)
    if outside.any():
        first = int(outside.argmax())
        raise DataError(
            f"{file}: token {begin + first:,} is {int(chunk[first]):,}, and the vocabulary "
            f"ends at {vocab_size - 1:,}; name the tokenizer that made the file, or its token_dtype"
        )
