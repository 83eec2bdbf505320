"""How many tokens go through the head and the loss at once; torch-free, for the estimate."""

import math

CHUNK_BYTES = 64 * 1024**2  # of logits


def number_of_chunks(logits: int, *, itemsize: int) -> int:
    """As few as `CHUNK_BYTES` allows, for so many logits of `itemsize` bytes."""
    return math.ceil(logits * itemsize / CHUNK_BYTES)
