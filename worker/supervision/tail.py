"""A reader of `events.jsonl` that works while the trainer writes the file."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from relora_core.events import AnyTrainEvent, from_line

logger = logging.getLogger(__name__)

Line = tuple[int, AnyTrainEvent]  # its number in the file, from 1
MAX_LINES = 500  # read at once
LONGEST_LINE = 1 << 20  # bytes; every event is shorter


class Tail:
    """The events of a file, each read once, when its line is complete.

    A line that is still being written is read later. `masked` removes the values of secrets from a
    line. A line that is not a valid event is skipped and counted in `unreadable`.
    """

    def __init__(self, path: Path, masked: Callable[[str], str]) -> None:
        self.unreadable = 0
        self._path = path
        self._masked = masked
        self._offset = 0
        self._num_lines = 0
        self._is_too_long = False  # the line that is read now

    def read(self) -> list[Line]:
        """Return the next events, at most `MAX_LINES`; empty when there is nothing new."""
        lines: list[Line] = []
        while not lines and (parts := list(islice(self._parts(), MAX_LINES))):
            for part in parts:
                self._offset += len(part)
                event = self._read(part)
                if event is not None:
                    lines.append((self._num_lines, event))
        return lines

    def _parts(self) -> Iterator[bytes]:
        """Yield whole lines, and a line that is too long in parts."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while part := file.readline(LONGEST_LINE):
                if not part.endswith(b"\n") and len(part) < LONGEST_LINE:
                    return
                yield part

    def _read(self, part: bytes) -> AnyTrainEvent | None:
        if not part.endswith(b"\n"):
            self._is_too_long = True
            return None
        self._num_lines += 1
        event = None if self._is_too_long else self._parse(part)
        self._is_too_long = False
        if event is None:
            self.unreadable += 1
            logger.warning("%s:%d is not an event", self._path, self._num_lines)
        return event

    def _parse(self, raw: bytes) -> AnyTrainEvent | None:
        try:
            return from_line(self._masked(raw.decode(errors="replace")))
        except ValidationError:
            return None
