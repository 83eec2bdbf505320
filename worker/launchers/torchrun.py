"""A launcher for one node: one process for each GPU, by torchrun if there are several."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.attempt.workdir import Workdir
from worker.launchers.process import TiedProcess


@dataclass(frozen=True)
class Torchrun:
    """A launcher of `python -m relora_core train`, in the worker's own Python interpreter."""

    program: Sequence[str] = ("relora_core",)  # the module that has `train`, and its arguments

    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> TiedProcess:
        command = [
            *(sys.executable, "-m", "worker.launchers.ranks", str(num_processes)),
            *("-m", *self.program, "train", str(workdir.spec)),
            *("--workdir", str(workdir.root), "--cache", str(cache)),
            *("--staged", str(workdir.staged), "--supervised"),
        ]
        return TiedProcess(command, environ=environ, cwd=workdir.empty, log=workdir.log)
