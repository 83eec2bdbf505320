"""The interface between the worker and a launcher, which starts trainers.

A launcher decides where the processes of a trainer run and how they find each other. The worker
does the rest in the same way for every launcher: it prepares the workdir, then reads the files of
the workdir and calls the methods of `TrainerProcess`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from worker.attempt.lease import LeasedProcess
from worker.attempt.workdir import Workdir
from worker.launchers.process import GRACE_SECONDS


class TrainerProcess(LeasedProcess, Protocol):
    """A running trainer, in one process or in several, on one node or on several.

    The launcher guarantees the following:

    - The trainer trains `workdir.spec`, which an older version may have accepted. It reads the
      local copies that `workdir.staged` names instead of remote sources. It resumes from the newest
      checkpoint of the workdir that verifies.
    - The trainer appends its events to `workdir.events`, one per line. Nothing else writes there.
      The last event says how the run ended: `train.finished`, `train.stopped` or `train.failed`.
      If there is none of them, the run has crashed.
    - A checkpoint or a model is complete when its event is written.
    - When `workdir.stop` exists, the trainer finishes its step, saves a checkpoint, reports
      `train.stopped` and exits with 0.
    - When `workdir.profile` exists, the trainer profiles as many steps as it says, saves the
      profile, deletes the file and reports `train.profile`.
    - The trainer touches `workdir.heartbeat` while it makes progress.
    - `workdir.log` contains what the processes print. It exists when `launch` returns.
    - The trainer does not outlive its lease. Each process ends by itself when the last moment given
      to `live_until` has passed, and when the worker dies.
    """

    def exit_code(self) -> int | None:
        """Return the exit code, or None while a process of the trainer runs. Never block.

        It is -9 if signal 9 ended one of the processes.
        """

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End all processes of the trainer, by force after the grace period. Wait for their end.

        The worker always calls it, also when the trainer has ended. The exit code stays the same.
        """


class Launcher(Protocol):
    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> TrainerProcess:
        """Start a trainer in `num_processes` processes, and return without waiting for it.

        The processes get `environ` as their environment: nothing else of the worker's environment
        and of the job's secrets. `cache` is a folder for data that later jobs of the project reuse.
        """
