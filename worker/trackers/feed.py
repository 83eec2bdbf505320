"""The feed of one tracker: it keeps what the tracker cannot take now, and tries again later."""

import logging
import time
from collections.abc import Callable, Iterable

from jobs.backoff import Backoff
from relora_core.errors.failures import summary
from worker.trackers.points import ResumedAt, TrackedPoint
from worker.trackers.tracker import Outcome, Tracker

logger = logging.getLogger(__name__)

MAX_FAILURES = 6  # in a row
BACKOFF = Backoff(first=2.0, longest=60.0)
MAX_AT_ONCE = 1000


class Feed:
    """The points that wait for one tracker.

    `lost` becomes true after `MAX_FAILURES` failures in a row. Then the tracker gets nothing more.
    It also becomes true if the run cannot be closed.
    """

    def __init__(
        self, name: str, open_run: Callable[[], Tracker], *, backoff: Backoff = BACKOFF
    ) -> None:
        self.name = name
        self.lost = False
        self._open_run = open_run
        self._tracker: Tracker | None = None
        self._waiting: list[TrackedPoint | ResumedAt] = []
        self._failures = 0
        self._backoff = backoff
        self._wait_until = 0.0

    def take(self, news: Iterable[TrackedPoint | ResumedAt]) -> None:
        if not self.lost:
            self._waiting += news

    def flush(self) -> None:
        """Give the tracker the waiting points, unless it pauses after a failure."""
        if self.lost or time.monotonic() < self._wait_until:
            return
        try:
            if self._tracker is None:
                self._tracker = self._open_run()
            while batch := self._waiting[:MAX_AT_ONCE]:
                self._tracker.draw(batch)
                del self._waiting[: len(batch)]
            self._failures = 0
        except Exception as error:  # no error of a tracker may fail the run
            self._note(error)

    def finish(self, outcome: Outcome) -> None:
        """Give the tracker the rest, with pauses between retries. Then close its run."""
        while self._waiting and not self.lost:
            time.sleep(max(0.0, self._wait_until - time.monotonic()))
            self.flush()
        if self._tracker is None:
            return
        try:
            self._tracker.finish(outcome)
        except Exception as error:
            self.lost = True
            logger.error("%s: its run was not closed: %s", self.name, summary(error))

    def _note(self, error: Exception) -> None:
        self._failures += 1
        self._wait_until = time.monotonic() + self._backoff.wait(self._failures)
        logger.error("%s: %s", self.name, summary(error))
        if self._failures >= MAX_FAILURES:
            self.lost = True
            self._waiting.clear()
            logger.error("%s gets nothing more of this attempt", self.name)
