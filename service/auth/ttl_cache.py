"""A cache whose values expire."""

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TTLCache(Generic[K, V]):
    """A cache of the `size` newest values, each valid for `seconds`. It is not thread-safe."""

    def __init__(self, size: int, seconds: float = float("inf")) -> None:
        self._size = size
        self._seconds = seconds
        self._values: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K) -> V | None:
        value, until = self._values.get(key, (None, 0.0))
        return value if time.monotonic() < until else None

    def put(self, key: K, value: V) -> None:
        self._values[key] = value, time.monotonic() + self._seconds
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
