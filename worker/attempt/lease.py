"""The lease of an attempt on its job, renewed in the background while the attempt runs."""

import logging
import threading
from typing import Protocol, Self

from jobs.errors import LeaseLost
from jobs.outages import FailureLog
from jobs.schemas.job import Job
from jobs.schemas.profiles import ProfileRequest
from jobs.schemas.status import RequestedAction
from jobs.store.attempts import AttemptStore
from worker.attempt import clock

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds; a renewal also fetches a cancel request, which must not wait long
WATCH_SECONDS = 0.25


class LeasedProcess(Protocol):
    """A process, or a group of processes, that must not outlive the lease."""

    def live_until(self, end: float) -> None:
        """Set the moment when the lease ends, as `clock.now()` counts. Must not block."""

    def kill(self, grace_seconds: float) -> None:
        """End the processes, by force after the grace period."""


class Lease:
    """The lease of an attempt. It is held until `check` raises `LeaseLost`.

    The lease is lost when another attempt took over the job, or when renewals failed for so long
    that another attempt may have. A database outage that is shorter than the lease does no harm.

    `claimed_at` is `clock.now()` from before the claim, so that the lease never ends later on our
    clock than in the store.
    """

    def __init__(self, store: AttemptStore, job: Job, *, seconds: float, claimed_at: float) -> None:
        self.job_id = job.id
        self.attempt = job.attempt
        self.requested_action: RequestedAction | None = job.requested_action
        self.requested_profile: ProfileRequest | None = None
        self._store = store
        self._seconds = seconds
        self._deadline = claimed_at + seconds
        self._ended = threading.Event()
        self._lost = False
        self._process: LeasedProcess | None = None
        self._threads = [
            threading.Thread(target=work, name=f"{name}-{job.id}", daemon=True)
            for name, work in (("lease", self._renew), ("lease-watch", self._watch))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raise `LeaseLost` if this attempt does not hold the job any more."""
        if self._is_over():
            raise LeaseLost(self.job_id, self.attempt)

    def kill_on_expiry(self, process: LeasedProcess) -> None:
        """Kill `process` when the lease ends, even if the rest of the worker is blocked.

        `process` also gets the new end at each renewal, so that it can end by itself if this
        process is stopped.
        """
        self._process = process
        process.live_until(self._deadline)
        if self._is_over():  # the watch thread may have ended already
            process.kill(grace_seconds=0)

    def _is_over(self) -> bool:
        self._lost = self._lost or clock.now() >= self._deadline
        return self._lost

    def _watch(self) -> None:
        """Kill the process when the lease ends.

        Use nothing that can block, not even the logger. Poll often: a wait does not count the time
        that the host sleeps.
        """
        while not self._ended.wait(WATCH_SECONDS):
            if self._is_over():
                if self._process is not None:
                    self._process.kill(grace_seconds=0)
                return

    def _renew(self) -> None:
        failures = FailureLog(logger, f"renew the lease of job {self.job_id}")
        pause = usual_pause = min(self._seconds / 3, LONGEST_PAUSE)
        while not self._ended.wait(pause):
            asked_at = clock.now()
            pause = usual_pause
            try:
                asked = self._store.renew(self.job_id, self.attempt, lease_seconds=self._seconds)
            except LeaseLost:
                self._lost = True
                return
            except Exception as error:  # try again after any error, until the lease ends
                pause = usual_pause / 4
                failures.failed(error)
            else:
                failures.succeeded()
                if self._is_over():  # the answer came too late: the trainer is being killed
                    return
                self.requested_action, self.requested_profile = asked.action, asked.profile
                self._deadline = asked_at + self._seconds
                if self._process is not None:
                    self._process.live_until(self._deadline)
