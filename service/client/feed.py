"""Server-sent events: parse them from bytes, and resume a stream that broke."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic

from service.client.errors import ApiError, Unreachable
from service.client.requests import Item, Query, Request, nothing
from service.client.retry import Patience

QUIET_SECONDS = 15.0  # the service sends a comment after so long without an event
OVER = 204  # do not connect again


@dataclass(frozen=True)
class Frame:
    id: str
    event: str
    data: str


@dataclass(frozen=True)
class Cut:
    """A stream broke before its end. The client tries to reconnect for five minutes."""

    reason: str


@dataclass(frozen=True)
class Back:
    """The stream has resumed where it broke."""

    seconds: float  # how long it was broken


Listener = Callable[[Cut | Back], None]
"""Is told once of each time that a stream breaks off, and once when it goes on."""


def unnoticed(_: Cut | Back) -> None:
    pass


@dataclass(frozen=True)
class Feed(Generic[Item]):
    """A stream of items.

    `ends_with` tells if a frame may be the last one. After such a frame there is no wait before
    the next connection.
    """

    path: str
    read: Callable[[Frame], Item | None]
    ends_with: Callable[[Frame], bool]
    query: Query = field(default_factory=dict)
    after: str | None = None
    listener: Listener = unnoticed


class Frames:
    """A parser of bytes into frames. httpx's `iter_lines` also splits at U+2028 and the like."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def cut(self, chunk: bytes) -> Iterator[Frame]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if frame := self._line(line.decode(errors="replace").removesuffix("\r")):
                yield frame

    def _line(self, line: str) -> Frame | None:
        if line:
            name, _, value = line.partition(":")
            self._fields.setdefault(name, []).append(value.removeprefix(" "))
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:  # a comment, or the `retry` field
            return None
        last = {name: values[-1] for name, values in fields.items()}
        return Frame(last.get("id", ""), last.get("event", ""), "\n".join(fields["data"]))


class Reception(Generic[Item]):
    """The state of one feed over all its connections."""

    def __init__(self, feed: Feed[Item]) -> None:
        self.over = False
        self._feed = feed
        self._position = feed.after
        self._frames = Frames()
        self._ending = False
        self._connected = False
        self._cut_at: float | None = None
        self._patience = Patience()

    def request(self) -> Request[None]:
        headers = {"Accept": "text/event-stream"}
        if self._position is not None:
            headers["Last-Event-ID"] = self._position
        return Request(
            "GET",
            self._feed.path,
            nothing,
            query=self._feed.query,
            headers=headers,
            seconds=QUIET_SECONDS,
        )

    def begin(self, status: int) -> None:
        """Note that a connection is open, with this status."""
        self._frames, self._connected = Frames(), True
        self.over = status == OVER
        if self._cut_at is not None:
            self._feed.listener(Back(time.monotonic() - self._cut_at))
            self._cut_at = None

    def take(self, chunk: bytes) -> Iterator[Item]:
        self._patience.heard()
        for frame in self._frames.cut(chunk):
            self._position = frame.id or self._position
            self._ending = self._feed.ends_with(frame)
            if (item := self._feed.read(frame)) is not None:
                yield item

    def pause(self, error: ApiError | Unreachable | None) -> float:
        """Return the seconds until the next connection. Raise `error` if it would be useless.

        If no connection ever succeeded, raise at once. Otherwise the service may come back.
        """
        if error and not self._connected:
            raise error
        if self.over or (self._ending and not error):
            return 0.0
        seconds = self._patience.after(error)
        if self._cut_at is None:
            self._cut_at = time.monotonic()
            self._feed.listener(Cut(str(error) if error else "closed by the service"))
        return seconds
