"""The trainer in processes that are forked from one that has loaded torch and transformers.

Loading them takes seconds of a core. Where a test is about what a run computes and leaves behind,
and not about how a person or torchrun starts it, a fork does as well as a new interpreter.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from relora_core.__main__ import main
from relora_core.spec import TrainSpec
from tests.fixtures.forking import FORKING, preload
from tests.fixtures.servers import free_ports

preload(__name__, "relora_core.process", "transformers.models.llama.modeling_llama")


class Forked:
    """A run in one process, or in as many as it has ranks."""

    def __init__(self, ranks: list[ForkServerProcess]) -> None:
        self._ranks = ranks

    def wait(self, seconds: float | None = None) -> int:
        """Return the exit code: that of the first rank that failed, as torchrun does, or 0."""
        for rank in self._ranks:
            rank.join(seconds)
            assert rank.exitcode is not None, "it did not end in time"
            if rank.exitcode:
                self.kill()
                return rank.exitcode
        return 0

    def kill(self) -> None:
        for rank in self._ranks:
            rank.kill()
            rank.join()


Fork = Callable[..., Forked]


@contextmanager
def forking(folder: Path, cache: Path) -> Iterator[Fork]:
    """Train in `folder / name`; what still runs at the end is killed."""
    started = []

    def fork(
        spec: TrainSpec,
        name: str = "run",
        *,
        processes: int = 0,
        fault: str | None = None,  # of `tests.relora_core.faults`
    ) -> Forked:
        file = folder / f"{name}.json"
        file.write_text(spec.model_dump_json())
        command = ["train", str(file), "--workdir", str(folder / name), "--cache", str(cache)]
        ranks = [
            FORKING.Process(target=_train, args=(command, {**os.environ, **rank}, fault))
            for rank in (_environments(processes) if processes else [{}])
        ]
        for rank in ranks:
            rank.start()
        started.append(Forked(ranks))
        return started[-1]

    try:
        yield fork
    finally:
        for run in started:
            run.kill()


def _environments(processes: int) -> list[dict[str, str]]:
    """The variables that torchrun sets for each rank."""
    (port,) = free_ports(1)
    shared = {
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [{**shared, "RANK": str(r), "LOCAL_RANK": str(r)} for r in range(processes)]


def _train(command: list[str], environment: Mapping[str, str], fault: str | None) -> None:
    gc.freeze()  # as in the tests' own process
    os.environ.clear()
    os.environ.update(environment)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    if fault:
        from tests.relora_core.faults import inject

        inject(fault)
    sys.exit(main(command))
