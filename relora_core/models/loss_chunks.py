"""The number of chunks in which the head and the loss are computed.

No torch needed, because the memory estimate uses it too.
"""

import math

CHUNK_BYTES = 64 * 1024**2  # the most bytes of logits in a chunk on a CPU, whose caches are small
# A GPU reads and writes the gradient of the whole head for each chunk, so it has fewer of them.
GPU_CHUNK_BYTES = 512 * 1024**2


def number_of_chunks(logits: int, *, itemsize: int, on_gpu: bool) -> int:
    """Return the least number of chunks for this number of logits of `itemsize` bytes each."""
    return math.ceil(logits * itemsize / (GPU_CHUNK_BYTES if on_gpu else CHUNK_BYTES))
