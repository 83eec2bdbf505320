"""A launcher of the real trainer for tests that are not about how its process starts.

It forks the trainer from a process that has already loaded torch and transformers, because that
takes seconds of a core.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from relora_core.__main__ import main
from tests.fixtures.forking import FORKING, begin, preload
from worker.attempt.workdir import Workdir
from worker.launchers.process import GRACE_SECONDS

preload(__name__, "relora_core.process", "transformers.models.llama.modeling_llama")


@dataclass(frozen=True)
class ForkedTrainer:
    """A running trainer in one process, without a watchdog of its lease."""

    process: BaseProcess

    def exit_code(self) -> int | None:
        return self.process.exitcode

    def live_until(self, end: float) -> None:
        """Do nothing: it ends by itself or by `kill`."""

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:  # noqa: ARG002
        self.process.kill()
        self.process.join()


class ForkedLauncher:
    def launch(
        self, workdir: Workdir, *, cache: Path, environ: Mapping[str, str], **_: object
    ) -> ForkedTrainer:
        workdir.empty.mkdir(exist_ok=True)
        workdir.log.touch()
        command = [
            *("train", str(workdir.spec), "--workdir", str(workdir.root), "--cache", str(cache)),
            *("--staged", str(workdir.staged)),
        ]
        process = FORKING.Process(target=_run, args=(command, environ, workdir))
        process.start()
        return ForkedTrainer(process)


def _run(command: Sequence[str], environ: Mapping[str, str], workdir: Workdir) -> None:
    begin(environ, workdir.log)
    os.chdir(workdir.empty)
    sys.exit(main(command))
