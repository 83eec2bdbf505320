"""Signs of life of a trainer: it reports an event, prints, or touches its heartbeat file."""

import time
from pathlib import Path

from worker.attempt.workdir import Workdir


class Liveness:
    """The time since a trainer's last sign of life. Create it when the trainer starts."""

    def __init__(self, workdir: Workdir) -> None:
        self._files = (workdir.events, workdir.log, workdir.heartbeat)
        self._seen = self._look()
        self._seen_at = time.monotonic()

    def silent_seconds(self) -> float:
        """Return the seconds since the last sign of life."""
        now = self._look()
        if now != self._seen:
            self._seen, self._seen_at = now, time.monotonic()
        return time.monotonic() - self._seen_at

    def _look(self) -> list[tuple[int, int]]:
        return [_state(file) for file in self._files]


def _state(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)
