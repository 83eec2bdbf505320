"""Reading `events.jsonl` while the trainer writes it."""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from relora_core.events import AnyTrainEvent, from_line

logger = logging.getLogger(__name__)

Line = tuple[int, AnyTrainEvent]  # its number in the file, from 1
MAX_LINES = 500  # read at once


class Tail:
    """Yields each line once, when it is complete; one that is still being written waits.

    `masked` hides in a line what no event may say.
    """

    def __init__(self, path: Path, masked: Callable[[str], str]) -> None:
        self._path = path
        self._masked = masked
        self._offset = 0
        self._num_lines = 0

    def read(self) -> list[Line]:
        """Return the next events, at most `MAX_LINES`; empty when there is nothing new."""
        lines: list[Line] = []
        while not lines and (raw_lines := list(islice(self._complete_lines(), MAX_LINES))):
            for raw in raw_lines:
                self._offset += len(raw)
                self._num_lines += 1
                if (event := self._parse(raw)) is not None:
                    lines.append((self._num_lines, event))
        return lines

    def _complete_lines(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                yield raw

    def _parse(self, raw: bytes) -> AnyTrainEvent | None:
        try:
            return from_line(self._masked(raw.decode(errors="replace")))
        except ValidationError:
            logger.warning("%s:%d is not an event", self._path, self._num_lines)
            return None
