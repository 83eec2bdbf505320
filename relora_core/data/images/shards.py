"""Packed images, memory-mapped, so that any image can be read by its number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from relora_core.data.batch import Batch, Dataset
from relora_core.data.shuffle import mix, permute


class ImageShards:
    """Images of one size with the numbers of their labels.

    With a `flip_seed`, each image is flipped horizontally with probability 1/2. The decision
    depends only on the seed and the position.
    """

    def __init__(
        self, pixels: Path, labels: Path, *, size: int, flip_seed: int | None = None
    ) -> None:
        self._labels = np.fromfile(labels, dtype="<u4").astype(np.int64)
        shape = (len(self._labels), 3, size, size)
        self._pixels = np.memmap(pixels, dtype=np.uint8, mode="r", shape=shape)
        self._flip_seed = flip_seed

    def __len__(self) -> int:
        return len(self._labels)

    def examples(self, indices: NDArray[np.int64], positions: NDArray[np.int64]) -> Batch:
        """Read uint8 pixels (n, 3, size, size) and int64 labels (n,)."""
        pixels = np.asarray(self._pixels[indices])
        if self._flip_seed is not None:
            mirrored = _coins(positions, self._flip_seed)
            pixels[mirrored] = pixels[mirrored, :, :, ::-1]
        return Batch(torch.from_numpy(pixels), torch.from_numpy(self._labels[indices]))


def _coins(positions: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64).astype(np.uint64)
    return (mix(positions.astype(np.uint64) ^ key) & np.uint64(1)).astype(np.bool_)


@dataclass(frozen=True)
class Shuffled:
    """A dataset in a shuffled order that is the same in every run.

    Images are often stored sorted by label, and an evaluation scores the first ones. Shuffled,
    the first examples are a fair sample.
    """

    dataset: Dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def examples(self, indices: NDArray[np.int64], positions: NDArray[np.int64]) -> Batch:
        return self.dataset.examples(
            permute(indices, size=len(self.dataset), seed=0, epoch=0), positions
        )
