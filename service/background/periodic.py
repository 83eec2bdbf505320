"""A thread of the server that looks, again and again, whether there is something to do."""

import logging
from collections.abc import Callable
from threading import Event, Thread

logger = logging.getLogger(__name__)


class Rounds:
    """A round when it is rung, and every `every_seconds`.

    A round that fails is tried again; the log says so once, and once when it works again.
    """

    def __init__(
        self, name: str, look: Callable[[], object], *, every_seconds: float, task: str
    ) -> None:
        self.stopping = False
        self._look = look
        self._every_seconds = every_seconds
        self._task = task
        self._rung = Event()
        self._failing = False
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """Say that there is something to do."""
        self._rung.set()

    def stop(self) -> None:
        """Return when the round that goes on is done."""
        self.stopping = True
        self.ring()
        self._thread.join()

    def _run(self) -> None:
        while not self.stopping:
            self._rung.wait(self._every_seconds)
            self._rung.clear()
            self._try()

    def _try(self) -> None:
        try:
            self._look()
        except Exception as error:  # whatever is down, the next round tries again
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
