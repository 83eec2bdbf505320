"""The trainer in processes that are forked from one that has loaded torch and transformers.

Loading them takes seconds of a core. Where a test is about what a run computes and leaves behind,
and not about how a person or torchrun starts it, a fork does as well as a new interpreter.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NoReturn

import pytest

from relora_core.__main__ import main
from relora_core.spec import TrainSpec
from tests.fixtures.forking import FORKING, TELL_PLACES, begin, preload, rank_variables

preload(
    __name__,
    "relora_core.process",
    "relora_core.methods.full",
    "relora_core.methods.relora",
    "relora_core.optim.adamw",
    "matplotlib.backends.backend_agg",  # which draws spectra
    "matplotlib.figure",
    "torch._dynamo",  # which DDP imports in seconds
    "transformers.models.llama.modeling_llama",
    "transformers.models.vit.modeling_vit",
)


class Forked:
    """A run in one process, or in as many as it has ranks."""

    def __init__(self, ranks: list[ForkServerProcess], supervisor: Connection, log: Path) -> None:
        self._ranks = ranks
        self._supervisor = supervisor
        self._log = log

    def wait(self, seconds: float | None = None) -> int:
        """Return the exit code: that of the first rank that failed, as torchrun does, or 0."""
        running = list(self._ranks)
        while running:
            ended = wait([rank.sentinel for rank in running], seconds)
            if not ended:
                pytest.fail(f"it did not end in time; {self._places(running)}")
            for rank in [rank for rank in running if rank.sentinel in ended]:
                running.remove(rank)
                rank.join()
                if rank.exitcode:
                    self.kill()
                    return rank.exitcode
        return 0

    def _places(self, running: list[ForkServerProcess]) -> str:
        """Return where the threads of the ranks that still run are, and what the run printed."""
        for rank in running:
            if rank.pid and rank.is_alive():
                os.kill(rank.pid, TELL_PLACES)
        time.sleep(1)
        numbers = [self._ranks.index(rank) for rank in running]
        return f"still running: ranks {numbers}\n{self._log.read_text()}"

    @property
    def runs(self) -> bool:
        return all(rank.is_alive() for rank in self._ranks)

    def lose_supervisor(self) -> None:
        """Close its standard input, as happens when the process that started it ends."""
        self._supervisor.close()

    def kill(self) -> None:
        self._supervisor.close()
        for rank in self._ranks:
            rank.kill()
            rank.join()


Fork = Callable[..., Forked]


@contextmanager
def forking(folder: Path, cache: Path) -> Iterator[Fork]:
    """Train in `folder / name`; what still runs at the end is killed.

    What it prints is in `folder / NAME.log`.
    """
    started = []

    def fork(
        spec: TrainSpec,
        name: str = "run",
        *,
        processes: int = 0,
        nodes: int = 1,
        apart: bool = False,  # each node but the first has a workdir and a cache of its own
        supervised: bool = False,
        fault: str | None = None,  # of `tests.relora_core.faults`
    ) -> Forked:
        file = folder / f"{name}.json"
        file.write_text(spec.model_dump_json())

        def command(node: int) -> list[str]:
            at, prepared = folder / name, cache
            if apart and node:
                at, prepared = folder / f"{name}-{node}", folder / f"cache-{node}"
            folders = ["--workdir", str(at), "--cache", str(prepared)]
            return ["train", str(file), *folders, *(["--supervised"] if supervised else [])]

        log = folder / f"{Path(name).name}.log"
        standard_input, supervisor = FORKING.Pipe(duplex=False)
        ranks = [
            FORKING.Process(
                target=_train,
                args=(
                    command(number * nodes // max(1, processes)),
                    {**os.environ, **rank},
                    standard_input,
                    log,
                    fault,
                ),
            )
            for number, rank in enumerate(
                rank_variables(processes, nodes=nodes) if processes else [{}]
            )
        ]
        for rank in ranks:
            rank.start()
        standard_input.close()
        started.append(Forked(ranks, supervisor, log))
        return started[-1]

    try:
        yield fork
    finally:
        for run in started:
            run.kill()


def _train(
    command: list[str],
    environment: Mapping[str, str],
    standard_input: Connection,
    log: Path,
    fault: str | None,
) -> None:
    begin(environment, log)
    os.dup2(standard_input.fileno(), sys.stdin.fileno())
    run_trainer(command, fault)


def run_trainer(command: Sequence[str], fault: str | None) -> NoReturn:
    """Do what `python -m relora_core` does with these arguments, with a fault of `faults`."""
    if fault:
        from tests.relora_core.faults import inject

        inject(fault)
    sys.exit(main(command))
