"""Batches of examples with their targets, and the interface of a dataset."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IGNORED = -100  # a target that no loss counts: torch's default


@dataclass(frozen=True)
class Batch:
    """Examples and their targets. The first dimension of both tensors is the examples."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def pinned(self) -> "Batch":
        """Return a copy in pinned memory, from which a GPU can copy while the host continues."""
        inputs, targets = (t.contiguous().pin_memory() for t in (self.inputs, self.targets))
        return Batch(inputs, targets)

    def to(self, device: torch.device) -> "Batch":
        inputs, targets = (t.to(device, non_blocking=True) for t in (self.inputs, self.targets))
        return Batch(inputs, targets)

    def split(self, size: int) -> list["Batch"]:
        """Cut into batches of `size` examples; the last may be smaller."""
        parts = zip(self.inputs.split(size), self.targets.split(size), strict=True)
        return [Batch(inputs, targets) for inputs, targets in parts]

    def repeated(self, size: int) -> "Batch":
        """Return the first example `size` times, in memory as a batch of `size` examples is."""
        one = self.inputs[:1], self.targets[:1]
        inputs, targets = (t.expand(size, *t.shape[1:]).contiguous() for t in one)
        return Batch(inputs, targets)

    def counting(self, count: int) -> "Batch":
        """Return the batch with `IGNORED` as targets of all but the first `count` examples."""
        targets = self.targets.clone()
        targets[count:] = IGNORED
        return Batch(self.inputs, targets)

    def num_targets(self) -> Tensor:
        """Return the number of targets that count, int64 ()."""
        return (self.targets != IGNORED).sum()


class Dataset(Protocol):
    """Examples that can be read by number, in any order."""

    def __len__(self) -> int: ...

    def examples(self, indices: NDArray[np.int64], positions: NDArray[np.int64]) -> Batch:
        """Read the examples `indices`. `positions` are their places in the run's reading order.

        Random changes of an example depend only on its position, so that a resumed run reads the
        same data.
        """
