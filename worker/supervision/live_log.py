"""The live log: what the trainer prints, sent to the store while it runs."""

import logging
import time
from functools import partial

from jobs.outages import FailureLog
from worker.attempt.attempt import Attempt

logger = logging.getLogger(__name__)

SHIP_SECONDS = 1.0
PAUSE_AFTER_OUTAGE = 5.0
READ_BYTES = 8 << 20  # read at once; the store keeps the last of them
LONGEST_LINE = 1 << 16  # a longer line is sent in parts


class LiveLog:
    """Sends whole lines of the log to the store, with the values of secrets masked.

    An error here does not fail the attempt.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._path = attempt.workdir.log
        self._read = 0  # bytes of the file
        self._shipped = 0  # bytes of the masked log, as users read it
        self._wait_until = 0.0
        self._failures = FailureLog(logger, f"store the log of job {attempt.job.id}")

    def ship(self) -> None:
        """Send the new lines, at most once per second."""
        if time.monotonic() >= self._wait_until:
            self._wait_until = time.monotonic() + SHIP_SECONDS
            self._store(self._shippable(self._unread()))

    def finish(self) -> None:
        """Send the rest of the log. Call it when the trainer has ended."""
        while new := self._unread():
            more_comes = len(new) == READ_BYTES
            if not self._store((more_comes and self._shippable(new)) or new):
                break

    def _shippable(self, new: bytes) -> bytes:
        """Return the whole lines, or the part of a line that is too long.

        The part does not end in the middle of a secret.
        """
        whole = max(new.rfind(b"\n"), new.rfind(b"\r")) + 1
        if whole or len(new) < LONGEST_LINE:
            return new[:whole]
        text = new.decode("utf-8", errors="surrogateescape")
        text = text[: len(text) - self._attempt.secrets.begun(text)]
        return text.encode("utf-8", errors="surrogateescape")

    def _unread(self) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._read)
            return file.read(READ_BYTES)

    def _store(self, raw: bytes) -> bool:
        if not raw:
            return True
        text = self._masked(raw)
        attempt = self._attempt
        append = partial(attempt.backends.logs.append, attempt.job.id, attempt.number)
        if not self._failures.guard(partial(append, self._shipped, text)):
            self._wait_until = time.monotonic() + PAUSE_AFTER_OUTAGE
            return False
        self._read += len(raw)
        self._shipped += len(text)
        return True

    def _masked(self, raw: bytes) -> bytes:
        text = raw.decode("utf-8", errors="surrogateescape")
        return self._attempt.secrets.masked(text).encode("utf-8", errors="surrogateescape")
