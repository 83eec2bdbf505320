"""A launcher of the real trainer for tests that are not about how its process starts.

It forks the trainer from a process that has already loaded torch and transformers, because that
takes seconds of a core.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.fixtures.forking import FORKING, begin, preload, rank_variables
from tests.relora_core.forks import run_trainer
from worker.attempt.workdir import Workdir
from worker.launchers.process import GRACE_SECONDS

preload(__name__, "tests.relora_core.faults")


@dataclass(frozen=True)
class ForkedTrainer:
    """A running trainer, in one process for each rank, without a watchdog of its lease."""

    ranks: Sequence[BaseProcess]

    @property
    def pids(self) -> list[int]:
        return [rank.pid for rank in self.ranks if rank.pid is not None]

    def exit_code(self) -> int | None:
        codes = [rank.exitcode for rank in self.ranks]
        return None if None in codes else min(code for code in codes if code is not None)

    def live_until(self, end: float) -> None:
        """Do nothing: it ends by itself or by `kill`."""

    def kill(self, grace_seconds: float = GRACE_SECONDS) -> None:  # noqa: ARG002
        for rank in self.ranks:
            rank.kill()
            rank.join()


@dataclass(frozen=True)
class ForkedLauncher:
    """A launcher that injects the fault of an attempt, if it has one, into its trainer.

    `faults` are those of `tests.relora_core.faults`, by the number of the attempt.
    """

    faults: Mapping[int, str] = field(default_factory=dict)
    trainers: list[ForkedTrainer] = field(default_factory=list)  # those that it has started

    def launch(
        self, workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
    ) -> ForkedTrainer:
        workdir.empty.mkdir(exist_ok=True)
        workdir.log.touch()
        command = [
            *("train", str(workdir.spec), "--workdir", str(workdir.root), "--cache", str(cache)),
            *("--staged", str(workdir.staged)),
        ]
        fault = self.faults.get(workdir.attempt)
        ranks = [
            FORKING.Process(target=_run, args=(command, {**environ, **rank}, workdir, fault))
            for rank in (rank_variables(num_processes) if num_processes > 1 else [{}])
        ]
        for rank in ranks:
            rank.start()
        self.trainers.append(ForkedTrainer(ranks))
        return self.trainers[-1]


def _run(
    command: Sequence[str], environ: Mapping[str, str], workdir: Workdir, fault: str | None
) -> None:
    begin(environ, workdir.log)
    os.chdir(workdir.empty)
    run_trainer(command, fault)
