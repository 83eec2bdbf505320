"""A heartbeat file, whose modification time shows a supervisor that the run makes progress.

Steps alone do not show it: before the first step, data is prepared and the model is compiled, which
takes long and reports little. So a thread checks whether the main thread moves.
"""

import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread, get_ident
from typing import Self

EVERY_SECONDS = 1.0


class HeartbeatFile:
    """Touches the file as long as the thread that created it moves from one place to another.

    A thread that waits forever for a lock, a file or another rank stays in one place, so the file
    is not touched.
    """

    def __init__(self, file: Path, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._file = file
        self._every_seconds = every_seconds
        self._watched = get_ident()
        self._beats = 0
        self._ended = Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def beat(self) -> None:
        """Report progress, in case the thread is found at the same place each time."""
        self._beats += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        before = None
        while not self._ended.wait(self._every_seconds):
            now = self._place()
            if now != before:
                with suppress(OSError):  # the code that writes data reports a full disk
                    self._file.touch()
            before = now

    def _place(self) -> tuple[int, ...]:
        """Return the current instruction of each frame of the watched thread, and its beats."""
        place = [self._beats]
        frame = sys._current_frames().get(self._watched)
        while frame is not None:
            place += (id(frame.f_code), frame.f_lasti)
            frame = frame.f_back
        return tuple(place)
