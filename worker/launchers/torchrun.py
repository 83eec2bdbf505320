"""A launcher for one node: one process for each GPU, by torchrun if there are several."""

import sys
from collections.abc import Mapping
from pathlib import Path

from worker.attempt.workdir import Workdir
from worker.launchers.process import TiedProcess


class Torchrun:
    """A launcher of `python -m relora_core train`, in the worker's own Python interpreter."""

    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> TiedProcess:
        command = [
            *(sys.executable, "-m", "worker.launchers.ranks", str(num_processes)),
            *("-m", "relora_core", "train", str(workdir.spec)),
            *("--workdir", str(workdir.root), "--cache", str(cache)),
            *("--staged", str(workdir.staged), "--supervised"),
        ]
        return TiedProcess(command, environ=environ, cwd=workdir.empty, log=workdir.log)
