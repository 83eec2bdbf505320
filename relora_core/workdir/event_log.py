"""`events.jsonl`: the run's events, one JSON object a line, in the order they happened."""

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Self

from relora_core.events import AnyTrainEvent, Emit, to_line
from relora_core.workdir.files import EVENTS

logger = logging.getLogger("relora_core")


def run_log(workdir: Path, *, is_main: bool) -> AbstractContextManager[Emit]:
    """The event log of a run; each event goes to the logger too. Other ranks are silent."""
    if is_main:
        return EventLog(workdir / EVENTS, also=log_event)
    return nullcontext(silent)


class EventLog:
    """Appends events; safe to use from the writer of checkpoints too.

    A line that a killed run left torn is ended first, so that readers can skip it.
    """

    def __init__(self, path: Path, also: Emit) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+")
        self._also = also
        self._lock = Lock()
        if self._is_torn():
            self._file.write(b"\n")

    def __call__(self, event: AnyTrainEvent) -> None:
        with self._lock:
            self._also(event)  # first: a full disk may refuse the line
            self._file.write(to_line(event).encode() + b"\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _is_torn(self) -> bool:
        if self._file.tell() == 0:
            return False
        self._file.seek(-1, 2)
        return self._file.read(1) != b"\n"


def log_event(event: AnyTrainEvent) -> None:
    """A line an event."""
    logger.info("%s", event)


def silent(event: AnyTrainEvent) -> None:
    """Only the main rank reports."""
