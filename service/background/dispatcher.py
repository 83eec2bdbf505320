"""The thread that sends the messages in the outbox to the broker."""

from jobs.broker.celery_queue import JobQueue, dispatch
from jobs.scheduling.outbox import Outbox
from service.background.periodic import PeriodicTask


class Dispatcher(PeriodicTask):
    """The task that empties the outbox.

    If the broker is down, the messages stay in the outbox, and jobs are still accepted.
    """

    def __init__(self, outbox: Outbox, queue: JobQueue, *, every_seconds: float = 1.0) -> None:
        super().__init__(
            "dispatcher",
            self._dispatch,
            every_seconds=every_seconds,
            task="send jobs to the workers",
        )
        self._outbox = outbox
        self._queue = queue

    def _dispatch(self) -> None:
        while dispatch(self._outbox, self._queue) and not self.stopping:
            pass
