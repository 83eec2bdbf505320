"""The file `events.jsonl` with the events of a run: one JSON object a line, in order of time."""

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Self

from relora_core.events import AnyTrainEvent, Emit, to_line
from relora_core.workdir.files import EVENTS

logger = logging.getLogger("relora_core")


def run_log(workdir: Path, *, is_main: bool) -> AbstractContextManager[Emit]:
    """Return the event log of a run, which also sends each event to the logger.

    Ranks other than the main one report nothing.
    """
    if is_main:
        return EventLog(workdir / EVENTS, also=log_event)
    return nullcontext(silent)


class EventLog:
    """Appends events to a file. It is thread-safe, because the checkpoint writer uses it too.

    If a killed run left an incomplete last line, it ends that line first, so that readers can skip
    the line.
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
            self._also(event)  # first, because writing the line fails on a full disk
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
    """Log an event as one line."""
    logger.info("%s", event)


def silent(event: AnyTrainEvent) -> None:
    """Ignore an event, because only the main rank reports."""
