"""The number of chunks in which the head and the loss are computed.

No torch needed, because the memory estimate uses it too.
"""

import math

CHUNK_BYTES = 64 * 1024**2  # the most bytes of logits in a chunk


def number_of_chunks(logits: int, *, itemsize: int) -> int:
    """Return the least number of chunks for this number of logits of `itemsize` bytes each."""
    return math.ceil(logits * itemsize / CHUNK_BYTES)
