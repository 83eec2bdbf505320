"""What starts a trainer, and what the worker may rely on once it runs.

A launcher decides where the processes of a trainer run and how they find each other. The worker
does the rest, the same for each launcher: it makes the workdir ready, and then it reads files of
the workdir and calls the few methods of `Trainer`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from worker.attempt.lease import Held
from worker.attempt.workdir import Workdir
from worker.launchers.process import GRACE_SECONDS


class Trainer(Held, Protocol):
    """A trainer that was started, in one process or in many, on one node or on several.

    The launcher owes these promises for it:

    - It trains `workdir.spec`, which an older version may have accepted. It reads the local copies
      that `workdir.staged` names in place of remote sources, and goes on from the newest checkpoint
      of the workdir that verifies.
    - It appends its events to `workdir.events`, a line each, and nothing else does. The last one
      says how the run ended: `train.finished`, `train.stopped` or `train.failed`. Without one of
      them the run has crashed.
    - A checkpoint or a model is whole when its event is written.
    - Once `workdir.stop` is there, it finishes its step, saves a checkpoint, reports
      `train.stopped` and exits with 0.
    - It touches `workdir.pulse` while it makes progress.
    - What its processes print is in `workdir.log`, which is there when `launch` returns.
    - It lives no longer than its lease: each process ends when the moment passes that
      `live_until` gave last, and when the worker dies, with nobody's help.
    """

    def exit_code(self) -> int | None:
        """Return None while a process of it runs, and -9 when signal 9 ended one of them.

        Never waits.
        """

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End all of its processes, by force after the grace. Return when none is left.

        The worker calls it in any case; one that has ended keeps its exit code.
        """


class Launcher(Protocol):
    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> Trainer:
        """Start a trainer in `num_processes` processes, and return without waiting for it.

        `environ` is all that the processes get of the worker's environment and of the job's
        secrets. `cache` is a folder for data that later jobs of the project find again.
        """
