"""Supervision of a trainer from its start to its end."""

import logging
import time
from collections.abc import Callable

from jobs.outages import DATABASE_OUTAGES, FailureLog
from relora_core.counted import counted
from relora_core.events import AnyTrainEvent, TrainFailed, TrainFinished, TrainStopped
from worker.attempt.attempt import Attempt
from worker.launchers.launcher import TrainerProcess
from worker.launchers.process import log_tail
from worker.supervision.live_log import LiveLog
from worker.supervision.liveness import Liveness
from worker.supervision.outcome import LastEvent, TrainerExit
from worker.supervision.requests import RequestFiles
from worker.supervision.tail import Line, Tail

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
DRAIN_SECONDS = 0.05
PAUSE_AFTER_OUTAGE = 2.0  # seconds until the store is tried again


class Recorder:
    """Copies the trainer's events to the store, each exactly once and in order."""

    def __init__(self, attempt: Attempt, *listeners: Callable[[AnyTrainEvent], None]) -> None:
        self.last: LastEvent | None = None
        self._attempt = attempt
        self._tail = Tail(attempt.workdir.events, attempt.secrets.masked)
        self._listeners = listeners
        self._unstored: list[Line] = []
        self._wait_until = 0.0
        self._failures = FailureLog(logger, f"store the events of job {attempt.job.id}")

    def record(self) -> bool:
        """Store the new events. Return whether there may be more.

        During an outage of the store, keep the events and store them later.
        """
        self._unstored = self._unstored or self._tail.read()
        if not self._unstored:
            return False
        if time.monotonic() >= self._wait_until and self._append(self._unstored):
            for _, event in self._unstored:
                self._note(event)
            self._unstored = []
        return True

    def finish(self) -> None:
        """Store all remaining events. Warn the user if some lines could not be read."""
        while self.record():
            self._attempt.lease.check()
            time.sleep(DRAIN_SECONDS)
        if self._tail.unreadable:
            self._attempt.warn(
                "events_unreadable",
                f"{counted(self._tail.unreadable, 'damaged line')} of what the trainer reported "
                "left out; was the disk full, or the power cut?",
            )

    def _append(self, lines: list[Line]) -> bool:
        job_id = self._attempt.job.id
        try:
            self._attempt.store.append(job_id, self._attempt.number, lines)
        except DATABASE_OUTAGES as error:
            self._failures.failed(error)
            self._wait_until = time.monotonic() + PAUSE_AFTER_OUTAGE
            return False
        self._failures.succeeded()
        self._attempt.backends.wakeups.publish(job_id)
        return True

    def _note(self, event: AnyTrainEvent) -> None:
        if isinstance(event, TrainFinished | TrainStopped | TrainFailed):
            self.last = event
        for listener in self._listeners:
            listener(event)


def supervise(
    trainer: TrainerProcess, attempt: Attempt, recorder: Recorder, live_log: LiveLog
) -> TrainerExit:
    """Wait until the trainer has ended and its events are stored. Return how it ended.

    Kill a trainer that gives no sign of life for `retries.stalled_after`. If the lease is lost,
    kill the trainer and raise `LeaseLost`.
    """
    attempt.lease.kill_on_expiry(trainer)
    liveness, patience = Liveness(attempt.workdir), attempt.job.spec.retries.stalled_after
    requests = RequestFiles(attempt)
    stalled = False
    try:
        while (exit_code := trainer.exit_code()) is None:
            attempt.lease.check()
            requests.write()
            recorder.record()
            live_log.ship()
            if stalled := patience is not None and liveness.silent_seconds() > patience:
                logger.warning("job %s: its trainer stalled and is ended", attempt.job.id)
                break
            time.sleep(POLL_SECONDS)
    finally:
        trainer.kill()
    attempt.lease.check()
    recorder.finish()
    live_log.finish()
    said = attempt.secrets.masked(log_tail(attempt.workdir.log))
    return TrainerExit(exit_code, recorder.last, said, silent_seconds=patience if stalled else None)
