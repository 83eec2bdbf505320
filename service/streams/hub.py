"""What the hubs of live streams share: one reader for all clients that listen to the same thing."""

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar


class Watch:
    """What is known of one thing. When there is more, `changed` is set and replaced."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.woken = asyncio.Event()
        self.listeners = 0

    def announce(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


Key = TypeVar("Key")
AWatch = TypeVar("AWatch", bound=Watch)


class Hub(ABC, Generic[Key, AWatch]):
    """A hub that polls each thing while a client listens to it."""

    def __init__(self, *, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._watches: dict[Key, AWatch] = {}
        self._pollers: dict[Key, asyncio.Task[None]] = {}
        self._closed = False

    @abstractmethod
    async def _poll(self, key: Key, watch: AWatch) -> None:
        """Read what is new until the task is cancelled."""

    def close(self) -> None:
        """End every stream. The clients then connect to another server."""
        self._closed = True
        for watch in self._watches.values():
            watch.announce()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def listeners(self) -> int:
        return sum(watch.listeners for watch in self._watches.values())

    def _join(self, key: Key, new: AWatch) -> AWatch:
        """Return the watch of `key`: `new`, if there is none yet."""
        watch = self._watches.setdefault(key, new)
        if watch is new:
            self._pollers[key] = asyncio.create_task(self._poll(key, watch))
        watch.listeners += 1
        return watch

    def _leave(self, key: Key, watch: AWatch) -> None:
        watch.listeners -= 1
        if watch.listeners == 0:
            del self._watches[key]
            self._pollers.pop(key).cancel()
