"""A thread of the server that calls a function periodically."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from jobs.outages import FailureLog

logger = logging.getLogger(__name__)


class PeriodicTask:
    """Call `callback` every `every_seconds`, and at once after `run_soon()`.

    A call that fails is tried again.
    """

    def __init__(
        self, name: str, callback: Callable[[], object], *, every_seconds: float, task: str
    ) -> None:
        self.stopping = False
        self._callback = callback
        self._every_seconds = every_seconds
        self._failures = FailureLog(logger, task)
        self._requested = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run_soon(self) -> None:
        """Make the next call start at once."""
        self._requested.set()

    def stop(self) -> None:
        """Stop the thread. Return when its current call has ended."""
        self.stopping = True
        self.run_soon()
        self._thread.join()

    def _run(self) -> None:
        while not self.stopping:
            self._requested.wait(self._every_seconds)
            self._requested.clear()
            self._failures.guard(self._callback)
