"""A file whose time says that the run goes on, for who watches it from outside.

Steps alone do not tell: before the first one data is prepared and a model compiled, which takes
long and reports little. So a thread looks whether the main thread moves.
"""

import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, get_ident
from types import TracebackType
from typing import Self

EVERY_SECONDS = 1.0


class Pulse:
    """Touches the file while the main thread, which makes it, is elsewhere than a moment ago.

    One that waits for a lock, a file or another rank for ever stays where it is.
    """

    def __init__(self, file: Path, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._file = file
        self._every_seconds = every_seconds
        self._watched = get_ident()
        self._beats = 0
        self._ended = Event()
        self._thread = Thread(target=self._run, name="pulse", daemon=True)

    def beat(self) -> None:
        """The run goes on, even if it is found at the same place each time: in a long step."""
        self._beats += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        before = None
        while not self._ended.wait(self._every_seconds):
            now = self._place()
            if now != before:
                with suppress(OSError):  # a full disk is told by what writes to it
                    self._file.touch()
            before = now

    def _place(self) -> tuple[int, ...]:
        """The instruction that each call of the watched thread is at, and its beats."""
        place = [self._beats]
        frame = sys._current_frames().get(self._watched)
        while frame is not None:
            place += (id(frame.f_code), frame.f_lasti)
            frame = frame.f_back
        return tuple(place)
