"""In which order a run reads its data: one dataset shuffled, or several mixed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from relora_core.data.batch import Batch, Dataset
from relora_core.data.mixture import MixtureOrder, Stage
from relora_core.data.shuffle import permute


@dataclass(frozen=True)
class Mixture:
    """Several datasets, which are read as one in the proportions of `stages`.

    The weights of a stage are those of `parts`, in their order.
    """

    parts: Mapping[str, Dataset]
    stages: tuple[Stage, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))


@dataclass(frozen=True)
class SourceUse:
    """How much of a source was read. The one source of a run that mixes none has no name."""

    name: str
    examples: int
    epochs: float


class Order(Protocol):
    """The examples of a run, by their places in its reading order: 0, 1, 2, ..."""

    def read(self, places: NDArray[np.int64]) -> Batch: ...

    def sources(self, places: int) -> list[SourceUse]:
        """Return what the first `places` read of each source."""


def order_of(data: Dataset | Mixture, *, seed: int) -> Order:
    return MixedOrder(data, seed) if isinstance(data, Mixture) else ShuffledOrder(data, seed)


class ShuffledOrder:
    """All examples of a dataset in each epoch, in another order each time."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset = dataset
        self._seed = seed

    def read(self, places: NDArray[np.int64]) -> Batch:
        return self._dataset.examples(self._indices(places), places)

    def sources(self, places: int) -> list[SourceUse]:
        return [SourceUse("", places, places / len(self._dataset))]

    def _indices(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        size = len(self._dataset)
        epochs, within = np.divmod(places, size)
        indices = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            indices[here] = permute(within[here], size=size, seed=self._seed, epoch=int(epoch))
        return indices


class MixedOrder:
    """The examples of a mixture. Each source has an order and epochs of its own."""

    def __init__(self, mixture: Mixture, seed: int) -> None:
        self._mixture = mixture
        self._order = MixtureOrder(mixture.stages, seed=seed)
        seeds = np.random.SeedSequence(seed).generate_state(len(mixture.parts), np.uint64).tolist()
        self._sources = list(map(ShuffledOrder, mixture.parts.values(), seeds))

    def read(self, places: NDArray[np.int64]) -> Batch:
        sources, numbers = self._order.locate(places)
        rows = [np.flatnonzero(sources == source) for source in range(len(self._sources))]
        parts = [
            (torch.from_numpy(where), source.read(numbers[where]))
            for where, source in zip(rows, self._sources, strict=True)
            if len(where)
        ]
        first = parts[0][1]
        inputs = first.inputs.new_empty(len(places), *first.inputs.shape[1:])
        targets = first.targets.new_empty(len(places), *first.targets.shape[1:])
        for where, part in parts:
            inputs[where], targets[where] = part.inputs, part.targets
        return Batch(inputs, targets)

    def sources(self, places: int) -> list[SourceUse]:
        counts = self._order.counts(places).tolist()
        parts = self._mixture.parts.items()
        return [
            SourceUse(name, count, count / len(part))
            for (name, part), count in zip(parts, counts, strict=True)
        ]
