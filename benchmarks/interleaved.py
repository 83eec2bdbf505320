"""Train contenders in turns: each is a process that trains only during its turn.

First each prepares: it builds the model, compiles, warms up and hands back the memory that it does
not need while it rests. All prepare at the same time, or one after the other where the memory of
the device does not hold them all. After that at most one of them computes. So each keeps its
compiled code and its caches in memory and has its own memory peak, and other load on the machine
affects all of them equally.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Protocol, Self

import torch

from benchmarks.memory import peak_bytes, reset_peak

WARM_UP_STEPS = 3
# Each contender has a new interpreter, so that it shares no memory and no CUDA with this process.
PROCESSES: SpawnContext | ForkServerContext = get_context("spawn")
_TIMEOUT_SECONDS = 1800.0  # to build, compile and warm up, on a slow machine


@dataclass(frozen=True)
class TimedSteps:
    seconds: float  # of the timed steps
    cpu_seconds: float  # the same, of all threads: without the time that other programs took
    peak_bytes: int  # of all turns so far


class RunOver(BaseException):
    """Raised in the contender's training loop after the last step.

    It is not an `Exception`, because it is not an error. So a trainer that catches errors does not
    catch it.
    """


class ContenderFailed(Exception):
    """A contender's process ended too early."""


class Contender(Protocol):
    """A training loop. Its class must be importable, because it starts in a new process."""

    @property
    def name(self) -> str: ...

    def train(self, between_steps: Callable[[], None]) -> None:
        """Train for ever. Call `between_steps` before each step."""


class _Script:
    """The work of a contender's process between its steps: continue, or report and wait."""

    def __init__(self, connection: Connection, device: str) -> None:
        self._connection = connection
        self._device = device
        self._lines = self._run()

    def __call__(self) -> None:
        if next(self._lines, "over") == "over":
            raise RunOver

    def _run(self) -> Iterator[None]:
        """Control the training loop: each `yield` lets it take one step."""
        yield from repeat(None, WARM_UP_STEPS)
        self._rest()
        reset_peak(self._device)
        self._connection.send("ready")
        while (steps := self._connection.recv()) is not None:
            yield  # one untimed step fills the caches again
            started, cpu_started = self._now(), time.process_time()
            yield from repeat(None, steps)
            seconds, cpu_seconds = self._now() - started, time.process_time() - cpu_started
            turn = TimedSteps(seconds, cpu_seconds, peak_bytes(self._device))
            self._rest()
            self._connection.send(turn)

    def _rest(self) -> None:
        """Free the GPU memory for the others, except weights and optimizer state."""
        if self._device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _perform(contender: Contender, connection: Connection, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        contender.train(_Script(connection, device))
    except RunOver:
        return
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        raise


class ContenderProcess:
    """A handle of a contender's process, for the process that assigns the turns."""

    def __init__(self, contender: Contender, *, device: str, threads: int) -> None:
        self.name = contender.name
        self._connection, theirs = PROCESSES.Pipe()
        self._process: BaseProcess = PROCESSES.Process(
            target=_perform, args=(contender, theirs, device, threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        self._receive()

    def turn(self, steps: int) -> TimedSteps:
        self._connection.send(steps)
        answer = self._receive()
        assert isinstance(answer, TimedSteps)
        return answer

    def _receive(self) -> object:
        try:
            answer = (
                self._connection.recv() if self._connection.poll(_TIMEOUT_SECONDS) else "no answer"
            )
        except EOFError:
            self._process.join()
            answer = f"ended with exit code {self._process.exitcode}"
        if isinstance(answer, str) and answer != "ready":
            raise ContenderFailed(f"{self.name}: {answer}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):  # it has already ended and reported why
            self._connection.send(None)
        self._process.join(30)
        self._process.terminate()
        self._process.join()


@contextmanager
def contender_processes(
    contenders: Sequence[Contender], *, device: str, together: bool = True
) -> Iterator[list[ContenderProcess]]:
    """Start a process for each contender. Yield them when all are ready.

    Unless they prepare `together`, each starts when the one before it rests.
    """
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        started = []
        for contender in contenders:
            process = ContenderProcess(contender, device=device, threads=threads)
            started.append(stack.enter_context(process))
            if not together:
                process.wait_until_ready()
        for process in started if together else ():
            process.wait_until_ready()
        yield started


def run_interleaved(
    contenders: Sequence[Contender], *, device: str, rounds: int, steps: int, together: bool = True
) -> dict[str, list[TimedSteps]]:
    """Return the turns of each contender, one per round. Every second round is reversed.

    `together` says whether they prepare at the same time.
    """
    turns: dict[str, list[TimedSteps]] = {contender.name: [] for contender in contenders}
    with contender_processes(contenders, device=device, together=together) as ready:
        for number in range(rounds):
            for process in ready if number % 2 == 0 else reversed(ready):
                turns[process.name].append(process.turn(steps))
    return turns
