"""The order of a mixture: which sequence of which source is read at each place of a run.

A binary tree halves the list of sources. Of the first n sequences that reach a fork, exactly
floor(n share + phase) go to the left, so at each fork the count is off by less than one sequence,
at every n. The phase, in [0, 1), depends on the seed. A place is found in as many steps as the tree
is deep, for any n, without counting from the start.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BITS = 32  # of a share, as a fixed-point number
_LOW = np.uint64(2**_BITS - 1)


class Interleaving:
    """Divides places among sources by their weights.

    After any number of places, the count of a source differs from its share by less than the depth
    of the tree: 7 for 100 sources.
    """

    def __init__(self, weights: Sequence[float], *, seed: Sequence[int]) -> None:
        self._ends = np.concatenate(([0.0], np.cumsum(weights)))
        self._phases = np.random.SeedSequence(seed).generate_state(len(weights), np.uint32)

    def __len__(self) -> int:
        return len(self._phases)

    def counts(self, length: int) -> NDArray[np.int64]:
        """Return how many of the first `length` places each source has, int64 (sources,)."""
        counts = np.zeros(len(self), np.int64)
        self._count(np.array([length], np.uint64), 0, len(self), counts)
        return counts

    def locate(self, places: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the source of each place, and how many earlier places the source has."""
        sources, numbers = np.empty(len(places), np.intp), np.empty(len(places), np.int64)
        self._place(
            places.astype(np.uint64), np.arange(len(places)), 0, len(self), sources, numbers
        )
        return sources, numbers

    def _count(
        self, arrived: NDArray[np.uint64], first: int, end: int, counts: NDArray[np.int64]
    ) -> None:
        if end - first == 1:
            counts[first] = arrived[0]
            return
        middle = (first + end) // 2
        left = self._left_of(arrived, first, middle, end)
        self._count(left, first, middle, counts)
        self._count(arrived - left, middle, end, counts)

    def _place(
        self,
        before: NDArray[np.uint64],
        where: NDArray[np.intp],
        first: int,
        end: int,
        sources: NDArray[np.intp],
        numbers: NDArray[np.int64],
    ) -> None:
        """Fill in the places `where`. `before` is how many came to this fork before each."""
        if not len(where):
            return
        if end - first == 1:
            sources[where], numbers[where] = first, before
            return
        middle = (first + end) // 2
        left = self._left_of(before, first, middle, end)
        goes_left = self._left_of(before + np.uint64(1), first, middle, end) > left
        goes_right = ~goes_left
        right = before - left
        self._place(left[goes_left], where[goes_left], first, middle, sources, numbers)
        self._place(right[goes_right], where[goes_right], middle, end, sources, numbers)

    def _left_of(
        self, arrived: NDArray[np.uint64], first: int, middle: int, end: int
    ) -> NDArray[np.uint64]:
        """Return how many of the first `arrived` sequences go to the left of a fork."""
        whole = self._ends[end] - self._ends[first]
        left = self._ends[middle] - self._ends[first]
        share = np.uint64(round(2**_BITS * left / whole) if whole else 0)
        # In two halves, because the product of both numbers has more than 64 bits.
        high, low = arrived >> np.uint64(_BITS), arrived & _LOW
        phase = np.uint64(self._phases[middle])
        return high * share + (low * share + phase >> np.uint64(_BITS))


@dataclass(frozen=True)
class Stage:
    """The weights of all sources from a place on."""

    first: int
    weights: tuple[float, ...]


class MixtureOrder:
    """The order of a mixture whose weights may change. A source goes on where it was."""

    def __init__(self, stages: Sequence[Stage], *, seed: int) -> None:
        """Take the stages in their order; the first begins at place 0."""
        self._firsts = [stage.first for stage in stages]
        self._stages = [
            Interleaving(stage.weights, seed=(seed, number)) for number, stage in enumerate(stages)
        ]
        self._counts = [np.zeros(len(self._stages[0]), np.int64)]  # before each stage
        for stage, first, end in zip(self._stages, self._firsts, self._firsts[1:], strict=False):
            self._counts.append(self._counts[-1] + stage.counts(end - first))

    def counts(self, length: int) -> NDArray[np.int64]:
        """Return how many of the first `length` places each source has, int64 (sources,)."""
        number = bisect_right(self._firsts, max(length - 1, 0)) - 1
        return self._counts[number] + self._stages[number].counts(length - self._firsts[number])

    def locate(self, places: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the source of each place, and how many earlier places the source has."""
        sources, numbers = np.empty(len(places), np.intp), np.empty(len(places), np.int64)
        stages = np.searchsorted(self._firsts, places, side="right") - 1
        for number in np.unique(stages):
            here = stages == number
            sources[here], within = self._stages[number].locate(places[here] - self._firsts[number])
            numbers[here] = within + self._counts[number][sources[here]]
        return sources, numbers
