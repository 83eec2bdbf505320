"""One node, one process for each GPU, under torchrun."""

import sys
from collections.abc import Mapping
from pathlib import Path

from worker.attempt.workdir import Workdir
from worker.launchers.process import TiedProcess


class Torchrun:
    """Start `python -m relora_core train` in the interpreter that the worker runs in."""

    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> TiedProcess:
        command = [
            *(sys.executable, "-m", "worker.launchers.ranks"),
            *("--standalone", "--nproc-per-node", str(num_processes)),
            *("-m", "relora_core", "train", str(workdir.spec)),
            *("--workdir", str(workdir.root), "--cache", str(cache)),
            *("--staged", str(workdir.staged), "--supervised"),
        ]
        return TiedProcess(command, environ=environ, cwd=workdir.empty, log=workdir.log)
