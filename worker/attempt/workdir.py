"""The folders of attempts on this node: `scratch/<job>/attempt-<n>/`."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relora_core.workdir.files import (
    CHECKPOINTS,
    EVENTS,
    HEARTBEAT,
    MICRO_BATCHES,
    PROFILE,
    REPORTS,
    SPEC,
    STAGED,
    STOP,
    attempt_name,
    checkpoint_path,
    log_path,
    step_folders,
)


@dataclass(frozen=True)
class Workdir:
    """The folder of one attempt: the trainer and the worker communicate through its files."""

    root: Path
    attempt: int

    @classmethod
    def of(cls, scratch: Path, job_id: str, attempt: int) -> "Workdir":
        return cls(scratch / job_id / attempt_name(attempt), attempt)

    def create(self) -> None:
        self.log.parent.mkdir(parents=True)
        (self.root / CHECKPOINTS).mkdir()

    @property
    def empty(self) -> Path:
        """The current folder of the processes: a relative path finds nothing there."""
        return self.root / "empty"

    @property
    def spec(self) -> Path:
        return self.root / SPEC

    @property
    def staged(self) -> Path:
        """The file that maps the remote sources of the spec to local copies."""
        return self.root / STAGED

    @property
    def events(self) -> Path:
        return self.root / EVENTS

    @property
    def stop(self) -> Path:
        return self.root / STOP

    @property
    def profile(self) -> Path:
        """The file that asks the trainer for a profile."""
        return self.root / PROFILE

    @property
    def heartbeat(self) -> Path:
        return self.root / HEARTBEAT

    def checkpoint(self, step: int) -> Path:
        return self.root / checkpoint_path(step)

    def checkpoint_steps(self) -> list[int]:
        """Return the steps of the checkpoints that exist now, oldest first."""
        return list(step_folders(self.root / CHECKPOINTS))

    @property
    def pending(self) -> Path:
        """The folder of checkpoints that wait for their upload, apart from the trainer's own."""
        return self.root / "pending"

    @property
    def reports(self) -> Path:
        return self.root / REPORTS

    @property
    def micro_batches(self) -> Path:
        """The folder with the micro-batch sizes that ran out of memory."""
        return self.root / MICRO_BATCHES

    @property
    def log(self) -> Path:
        return self.root / log_path(self.attempt)

    def earlier(self) -> Iterator["Workdir"]:
        """Yield the workdirs of the job's earlier attempts on this node, newest first."""
        for attempt in range(self.attempt - 1, 0, -1):
            root = self.root.with_name(attempt_name(attempt))
            if root.is_dir():
                yield Workdir(root, attempt)

    def remove_earlier(self) -> None:
        for workdir in self.earlier():
            shutil.rmtree(workdir.root, ignore_errors=True)


def remove_workdirs(scratch: Path, job_id: str) -> None:
    """Delete the workdirs of all attempts of the job on this node."""
    shutil.rmtree(scratch / job_id, ignore_errors=True)
