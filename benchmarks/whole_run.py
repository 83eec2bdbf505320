"""Whole runs, with compiler, warm start, switch, restarts and export: their time and memory."""

import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks import interleaved
from benchmarks.workloads import MethodName, Workload
from relora_core.events import AnyTrainEvent, TrainFinished
from relora_core.spec import ReloraMethod, TrainSpec
from relora_core.training.train import train

METHODS: Sequence[MethodName] = ("full", "relora")
CYCLES = 4  # of equal length; the first one is the warm start


class WholeRun(BaseModel):
    """One run in a process of its own."""

    model_config = ConfigDict(frozen=True)

    seconds: float  # from the call of `relora_core.train` to its end
    peak_bytes: int  # the highest of all phases, as the run reports it


class WholeRuns(BaseModel):
    """The runs of each method, one for each round."""

    model_config = ConfigDict(frozen=True)

    model: str
    steps: int
    runs: dict[str, list[WholeRun]]

    def seconds_ratios(self) -> list[float]:
        """Return the seconds of relora divided by those of full rank, for each round."""
        return [mine.seconds / theirs.seconds for mine, theirs in self._rounds()]

    def memory_ratios(self) -> list[float]:
        return [mine.peak_bytes / theirs.peak_bytes for mine, theirs in self._rounds()]

    def _rounds(self) -> list[tuple[WholeRun, WholeRun]]:
        return list(zip(self.runs["relora"], self.runs["full"], strict=True))

    @classmethod
    def measure(cls, workload: Workload, *, steps: int, rounds: int, cache: Path) -> Self:
        """Train both methods in turns. Every second round is reversed."""
        runs: dict[str, list[WholeRun]] = {method: [] for method in METHODS}
        for number in range(rounds):
            for method in METHODS if number % 2 == 0 else reversed(METHODS):
                runs[method].append(_run(_spec(workload, method, steps), cache))
        return cls(model=workload.name, steps=steps, runs=runs)


def _spec(workload: Workload, method: MethodName, steps: int) -> TrainSpec:
    spec = workload.spec(method)
    parts: dict[str, object] = {"training": spec.training.model_copy(update={"steps": steps})}
    if isinstance(spec.method, ReloraMethod):
        cycle = steps // CYCLES
        cycles = {"warm_start_steps": cycle, "reset_every": cycle}
        parts["method"] = spec.method.model_copy(update=cycles)
    return spec.model_copy(update=parts)


def _run(spec: TrainSpec, cache: Path) -> WholeRun:
    """Train in a new process, so that the peak is this run's alone."""
    connection, theirs = interleaved.PROCESSES.Pipe()
    process = interleaved.PROCESSES.Process(target=_train, args=(spec, cache, theirs))
    process.start()
    theirs.close()
    try:
        answer = connection.recv()
    except EOFError as error:
        process.join()
        raise RuntimeError(f"a run ended with exit code {process.exitcode}") from error
    process.join()
    assert isinstance(answer, WholeRun)
    return answer


def _train(spec: TrainSpec, cache: Path, connection: Connection) -> None:
    ended: list[TrainFinished] = []

    def emit(event: AnyTrainEvent) -> None:
        if isinstance(event, TrainFinished):
            ended.append(event)

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        train(spec, Path(folder), emit, cache=cache)
        seconds = time.perf_counter() - started
    connection.send(WholeRun(seconds=seconds, peak_bytes=ended[-1].peak_memory_bytes))
