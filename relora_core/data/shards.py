"""Packed tokens, memory-mapped, so that any sequence can be read by its number."""

from copy import copy
from mmap import ACCESS_READ, MADV_RANDOM, mmap
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relora_core.data.batch import Batch


class TokenShards:
    """A stream of tokens, cut into sequences: sequence i has the tokens [i * S, i * S + S + 1).

    The last token of a sequence is the first token of the next one, so that each token except the
    first of the stream is predicted once. The remaining tokens at the end are not used.
    """

    def __init__(
        self, file: Path, *, dtype: str, num_documents: int, vocab_size: int, sequence_length: int
    ) -> None:
        with file.open("rb") as stream:
            mapped = mmap(stream.fileno(), 0, access=ACCESS_READ)
        mapped.madvise(MADV_RANDOM)  # otherwise the kernel reads far more than each sequence
        self._tokens: NDArray[np.unsignedinteger] = np.frombuffer(mapped, dtype=dtype)
        self.num_documents = num_documents
        self.vocab_size = vocab_size
        self.sequence_length = sequence_length

    def between(self, begin: int, end: int) -> Self:
        """Return the tokens [begin, end) of the stream as a stream."""
        piece = copy(self)
        piece._tokens = self._tokens[begin:end]
        return piece

    @property
    def num_tokens(self) -> int:
        return len(self._tokens)

    def __len__(self) -> int:
        return (self.num_tokens - 1) // self.sequence_length

    def examples(self, indices: NDArray[np.int64], positions: NDArray[np.int64]) -> Batch:  # noqa: ARG002 - nothing is random
        """Read sequences as inputs and targets, int64 (n, sequence_length).

        The target at each place is the next token.
        """
        sequences = self.sequences(indices)
        # contiguous as on a GPU, because compiled kernels are for certain strides
        return Batch(sequences[:, :-1].contiguous(), sequences[:, 1:].contiguous())

    def sequences(self, indices: NDArray[np.int64]) -> Tensor:
        """Return int64 (len(indices), sequence_length + 1): inputs [:, :-1], targets [:, 1:]."""
        length = self.sequence_length
        rows = [self._tokens[i * length : i * length + length + 1] for i in indices.tolist()]
        return torch.from_numpy(np.stack(rows).astype(np.int64))
