"""Causal attention over rows that are one sequence each.

With each forward pass transformers looks at the positions, whether a row is several sequences.
From a GPU, the answer is a wait for the device; under torch.compile, which cannot look, it is a
mask of (n, 1, length, length), and attention does without its kernels for causal masks. Here a row
is one sequence, packed or not: its positions count from 0 to its end.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from transformers import masking_utils


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Spare transformers the look."""
    look = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = _one_sequence
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = look


def _one_sequence(position_ids: Tensor) -> None:
    """What transformers' own answers where it finds no second sequence."""
