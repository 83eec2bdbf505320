"""Exponential backoff with jitter: how long to wait before a failed call is tried again."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, takewhile

_MAX_EXPONENT = 64  # far over any longest wait; larger powers overflow


@dataclass(frozen=True)
class Backoff:
    """Waits, in seconds, that grow by `factor` from `first` to `longest`.

    A random part of up to a half is taken off each (equal jitter), so that many callers that
    failed together do not all come back together.
    """

    first: float
    longest: float
    factor: float = 2.0
    chance: Callable[[], float] = random.random

    def wait(self, failures: int) -> float:
        """Return the seconds to wait after this many failures in a row, at least one."""
        return self.ceiling(failures) * self.jitter()

    def ceiling(self, failures: int) -> float:
        """Return the longest wait that `wait` may give."""
        growth = self.factor ** min(failures - 1, _MAX_EXPONENT)
        return min(self.first * growth, self.longest)

    def growing(self) -> Iterator[float]:
        """Yield the ceilings after 1, 2, ... failures, as long as they are below the longest."""
        return takewhile(lambda wait: wait < self.longest, map(self.ceiling, count(1)))

    def jitter(self) -> float:
        """Return a random factor from 0.5 to 1."""
        return 0.5 + self.chance() / 2
