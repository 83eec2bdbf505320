"""The worker's hold on a job, renewed in the background for as long as the attempt lasts."""

import logging
import threading
from types import TracebackType
from typing import Protocol, Self

from jobs.errors import LeaseLost
from jobs.outages import FailureLog
from jobs.schemas.job import Job
from jobs.schemas.status import RequestedAction
from jobs.store.attempts import AttemptStore
from worker.attempt import clock

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds; a person who cancels a job does not wait for a third of a lease
WATCH_SECONDS = 0.25


class Held(Protocol):
    """What may live no longer than a lease."""

    def live_until(self, end: float) -> None:
        """Take note of its present end, by `clock.now()`; must not wait for anything."""

    def kill(self, grace_seconds: float) -> None:
        """End it."""


class Lease:
    """Held until `check` raises `LeaseLost`: another attempt took over, or renewing failed for
    so long that one may have. A database that is away for less than the lease goes unnoticed.

    `claimed_at` is `clock.now()` from before the claim, so that our clock runs out no later
    than the store's.
    """

    def __init__(self, store: AttemptStore, job: Job, *, seconds: float, claimed_at: float) -> None:
        self.job_id = job.id
        self.attempt = job.attempt
        self.requested_action: RequestedAction | None = job.requested_action
        self._store = store
        self._seconds = seconds
        self._deadline = claimed_at + seconds
        self._ended = threading.Event()
        self._lost = False
        self._held: Held | None = None
        self._threads = [
            threading.Thread(target=work, name=f"{name}-{job.id}", daemon=True)
            for name, work in (("lease", self._renew), ("lease-watch", self._watch))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
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
        if self._is_over():
            raise LeaseLost(self.job_id, self.attempt)

    def hold(self, held: Held) -> None:
        """End it once the lease is over, whatever the rest of the worker waits for.

        It is told of each renewal, so that it can end by itself while this process is stopped.
        """
        self._held = held
        held.live_until(self._deadline)
        if self._is_over():  # the watch may have ended before
            held.kill(grace_seconds=0)

    def _is_over(self) -> bool:
        self._lost = self._lost or clock.now() >= self._deadline
        return self._lost

    def _watch(self) -> None:
        """Uses nothing that can hang, not even the logger. Looks often: a wait does not count
        the time that the host sleeps."""
        while not self._ended.wait(WATCH_SECONDS):
            if self._is_over():
                if self._held is not None:
                    self._held.kill(grace_seconds=0)
                return

    def _renew(self) -> None:
        failures = FailureLog(logger, f"renew the lease of job {self.job_id}")
        pause = usual_pause = min(self._seconds / 3, LONGEST_PAUSE)
        while not self._ended.wait(pause):
            asked_at = clock.now()
            pause = usual_pause
            try:
                action = self._store.renew(self.job_id, self.attempt, lease_seconds=self._seconds)
            except LeaseLost:
                self._lost = True
                return
            except Exception as error:  # whatever it is, there is time until the lease is over
                pause = usual_pause / 4
                failures.failed(error)
            else:
                failures.succeeded()
                if self._is_over():  # the answer came too late: the trainer is ended
                    return
                self.requested_action = action
                self._deadline = asked_at + self._seconds
                if self._held is not None:
                    self._held.live_until(self._deadline)
