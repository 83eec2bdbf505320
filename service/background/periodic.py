"""A thread of the server that calls a function again and again."""

import logging
from collections.abc import Callable
from threading import Event, Thread

logger = logging.getLogger(__name__)


class PeriodicTask:
    """Call `callback` every `every_seconds`, and at once after `run_soon()`.

    A call that fails is tried again; the log says so once, and once when it works again.
    """

    def __init__(
        self, name: str, callback: Callable[[], object], *, every_seconds: float, task: str
    ) -> None:
        self.stopping = False
        self._callback = callback
        self._every_seconds = every_seconds
        self._task = task
        self._requested = Event()
        self._failing = False
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run_soon(self) -> None:
        """Say that there is something to do."""
        self._requested.set()

    def stop(self) -> None:
        """Return when the call that goes on is done."""
        self.stopping = True
        self.run_soon()
        self._thread.join()

    def _run(self) -> None:
        while not self.stopping:
            self._requested.wait(self._every_seconds)
            self._requested.clear()
            self._try()

    def _try(self) -> None:
        try:
            self._callback()
        except Exception as error:  # whatever is down, the next call tries again
            if not self._failing:
                logger.error("cannot %s, trying on: %s", self._task, first_line(error))
            self._failing = True
        else:
            if self._failing:
                logger.info("can %s again", self._task)
            self._failing = False


def first_line(error: Exception) -> str:
    """Without the statement and the parameters that SQLAlchemy adds."""
    return str(error).partition("\n")[0]
