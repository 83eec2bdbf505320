"""The thread that sends what the outbox holds to the broker."""

import logging
from threading import Event, Thread

from jobs.outbox import Outbox
from jobs.queue import JobQueue, dispatch

logger = logging.getLogger(__name__)


class Dispatcher:
    """Looks into the outbox when it is rung, and every `every_seconds`.

    With the broker down the outbox keeps what is in it, and jobs are still accepted.
    """

    def __init__(self, outbox: Outbox, queue: JobQueue, *, every_seconds: float = 1.0) -> None:
        self._outbox = outbox
        self._queue = queue
        self._every_seconds = every_seconds
        self._rung = Event()
        self._stopping = False
        self._failing = False
        self._thread = Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """Say that the outbox holds something."""
        self._rung.set()

    def stop(self) -> None:
        self._stopping = True
        self.ring()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._rung.wait(self._every_seconds)
            self._rung.clear()
            self._dispatch()

    def _dispatch(self) -> None:
        try:
            while dispatch(self._outbox, self._queue) and not self._stopping:
                pass
        except Exception as error:  # whatever is down, the next look tries again
            if not self._failing:
                reason = str(error).partition("\n")[0]
                logger.error("cannot send jobs to the workers, trying on: %s", reason)
            self._failing = True
        else:
            if self._failing:
                logger.info("jobs are sent to the workers again")
            self._failing = False
