"""The trackers of an attempt, in a separate process. Their failures are only warnings."""

import sys
from typing import Self

from relora_core.events import AnyTrainEvent
from worker.attempt.attempt import Attempt
from worker.launchers.process import TiedProcess
from worker.trackers.tracker import FAILURES, Tracked

GRACE_SECONDS = 60.0  # to send the rest after the trainer has ended
LAST_LINES = 5


class Tracking:
    """The process that feeds the trackers. A job without trackers has no such process."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._log = attempt.workdir.root / "trackers.log"  # for operators
        self._failures = attempt.workdir.root / FAILURES
        self._process: TiedProcess | None = None
        self._warned = False

    def __enter__(self) -> Self:
        if self._attempt.job.spec.trackers:
            self._process = self._start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()

    def note(self, event: AnyTrainEvent) -> None:  # noqa: ARG002 # the process reads it itself
        """Warn the user early if the tracker process has ended."""
        if self._process is not None and self._process.exit_code() is not None:
            self._warn()

    def finish(self) -> None:
        """Wait until the trackers have logged everything, for at most `GRACE_SECONDS`."""
        if self._process is None:
            return
        self._process.kill(GRACE_SECONDS)
        if self._process.exit_code() != 0:
            self._warn()

    def _start(self) -> TiedProcess:
        attempt = self._attempt
        description = attempt.workdir.root / "trackers.json"
        run = Tracked(
            job_id=attempt.job.id,
            name=attempt.job.name,
            attempt=attempt.number,
            labels=attempt.job.labels,
            spec=attempt.job.spec.train.model_dump(mode="json"),
            trackers=attempt.job.spec.trackers,
            workdir=attempt.workdir.root,
            only_public_servers=attempt.locations.only_public_trackers,
        )
        description.write_text(run.model_dump_json())
        return TiedProcess(
            [sys.executable, "-m", "worker.trackers", str(description)],
            environ=attempt.environ(),
            cwd=attempt.workdir.empty,
            log=self._log,
        )

    def _warn(self) -> None:
        if self._warned:
            return
        self._warned = True
        told = self._failures.read_text() if self._failures.exists() else ""
        reason = "\n".join(told.splitlines()[-LAST_LINES:]) or "they did not end in time"
        self._attempt.warn("trackers_failed", f"not all was tracked: {reason}")
