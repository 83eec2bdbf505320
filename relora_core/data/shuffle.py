"""A shuffle that needs no memory for any size: a keyed permutation of [0, size).

A Feistel network permutes the numbers of the smallest even number of bits that can hold all
positions. A result outside of [0, size) goes through the network again until it is inside (Black
and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). The round function is the
finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
OOPSLA 2014).
"""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8


def permute(positions: NDArray[np.int64], *, size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Map positions in [0, size) to distinct values in [0, size), differently in each epoch."""
    keys = np.random.SeedSequence((seed, epoch)).generate_state(ROUNDS, np.uint64).astype(np.uint64)
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    values = _feistel(positions.astype(np.uint64), keys, half_bits)
    while (outside := values >= size).any():
        values[outside] = _feistel(values[outside], keys, half_bits)
    return values.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], keys: NDArray[np.uint64], half_bits: int
) -> NDArray[np.uint64]:
    mask = np.uint64(2**half_bits - 1)
    left, right = values >> np.uint64(half_bits), values & mask
    for key in keys:
        left, right = right, left ^ (mix(right ^ key) & mask)
    return left << np.uint64(half_bits) | right


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash 64-bit numbers, so that close numbers get results that are far apart."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)  # modulo 2**64
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
