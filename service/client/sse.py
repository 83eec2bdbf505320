"""Server-sent events: parse them from bytes, and resume a stream that broke."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic

from service.client.errors import ApiError, Unreachable
from service.client.requests import Item, Query, Request, nothing
from service.client.retry import RetryBudget

QUIET_SECONDS = 15.0  # the service sends a comment after so long without an event
OVER = 204  # do not connect again


@dataclass(frozen=True)
class SseEvent:
    id: str
    event: str
    data: str


@dataclass(frozen=True)
class Disconnected:
    """A stream broke before its end. The client tries to reconnect for five minutes."""

    reason: str


@dataclass(frozen=True)
class Reconnected:
    """The stream has resumed where it broke."""

    seconds: float  # how long it was broken


Listener = Callable[[Disconnected | Reconnected], None]
"""Is told once of each time that a stream breaks off, and once when it goes on."""


def ignore(_: Disconnected | Reconnected) -> None:
    pass


@dataclass(frozen=True)
class SseStream(Generic[Item]):
    """A stream of items.

    `ends_with` tells if an event may be the last one. After such an event there is no wait before
    the next connection.
    """

    path: str
    read: Callable[[SseEvent], Item | None]
    ends_with: Callable[[SseEvent], bool]
    query: Query = field(default_factory=dict)
    after: str | None = None
    listener: Listener = ignore


class SseParser:
    """A parser of bytes into events. httpx's `iter_lines` also splits at U+2028 and the like."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def parse(self, chunk: bytes) -> Iterator[SseEvent]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if event := self._line(line.decode(errors="replace").removesuffix("\r")):
                yield event

    def _line(self, line: str) -> SseEvent | None:
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:  # a comment, or the `retry` field
            return None
        last = {name: values[-1] for name, values in fields.items()}
        return SseEvent(last.get("id", ""), last.get("event", ""), "\n".join(fields["data"]))


class Subscription(Generic[Item]):
    """The state of one stream over all its connections."""

    def __init__(self, stream: SseStream[Item]) -> None:
        self.over = False
        self._stream = stream
        self._position = stream.after
        self._parser = SseParser()
        self._ending = False
        self._connected = False
        self._disconnected_at: float | None = None
        self._budget = RetryBudget()

    def request(self) -> Request[None]:
        headers = {"Accept": "text/event-stream"}
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        return Request(
            "GET",
            self._stream.path,
            nothing,
            query=self._stream.query,
            headers=headers,
            seconds=QUIET_SECONDS,
        )

    def begin(self, status: int) -> None:
        """Note that a connection is open, with this status."""
        self._parser, self._connected = SseParser(), True
        self.over = status == OVER
        if self._disconnected_at is not None:
            self._stream.listener(Reconnected(time.monotonic() - self._disconnected_at))
            self._disconnected_at = None

    def receive(self, chunk: bytes) -> Iterator[Item]:
        self._budget.reset()
        for event in self._parser.parse(chunk):
            self._position = event.id or self._position
            self._ending = self._stream.ends_with(event)
            if (item := self._stream.read(event)) is not None:
                yield item

    def pause(self, error: ApiError | Unreachable | None) -> float:
        """Return the seconds until the next connection. Raise `error` if it would be useless.

        If no connection ever succeeded, raise at once. Otherwise the service may come back.
        """
        if error and not self._connected:
            raise error
        if self.over or (self._ending and not error):
            return 0.0
        seconds = self._budget.next_delay(error)
        if self._disconnected_at is None:
            self._disconnected_at = time.monotonic()
            self._stream.listener(Disconnected(str(error) if error else "closed by the service"))
        return seconds
