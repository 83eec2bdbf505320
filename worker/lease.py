"""The worker's hold on a job, renewed in the background for as long as the attempt lasts."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from jobs.attempts import AttemptStore
from jobs.errors import LeaseLost
from jobs.models import Job
from jobs.status import Wish

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds; a person who cancels a job does not wait for a third of a lease


class Lease:
    """Held until `check` raises `LeaseLost`: another attempt took over, or renewing failed for
    so long that one may have. A database that is away for less than the lease goes unnoticed.

    `claimed_at` is `time.monotonic()` from before the claim, so that our clock runs out no later
    than the store's.
    """

    def __init__(self, store: AttemptStore, job: Job, *, seconds: float, claimed_at: float) -> None:
        self.job_id = job.id
        self.attempt = job.attempt
        self.wish: Wish | None = job.wish
        self._store = store
        self._seconds = seconds
        self._deadline = claimed_at + seconds
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raise `LeaseLost` unless the job is still ours."""
        if self._lost or time.monotonic() >= self._deadline:
            raise LeaseLost(self.job_id, self.attempt)

    def _renew(self) -> None:
        pause = usual_pause = min(self._seconds / 3, LONGEST_PAUSE)
        while not self._ended.wait(pause):
            asked_at = time.monotonic()
            pause = usual_pause
            try:
                self.wish = self._store.renew(
                    self.job_id, self.attempt, lease_seconds=self._seconds
                )
                self._deadline = asked_at + self._seconds
            except LeaseLost:
                self._lost = True
                return
            except SQLAlchemyError as error:
                pause = usual_pause / 4
                logger.warning("job %s: the lease could not be renewed: %s", self.job_id, error)
