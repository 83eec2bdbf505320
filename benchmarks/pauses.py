"""Pauses of a run between its steps: restarts and copies for checkpoints."""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Protocol

import torch
from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import silent
from benchmarks.workloads import RESET_EVERY, Workload
from relora_core.checkpoint.checkpointer import Checkpoints
from relora_core.checkpoint.compatibility import Identity
from relora_core.data.loader import BatchLoader
from relora_core.distributed.world import World
from relora_core.methods import build_method
from relora_core.optim.optimizers import build_optimizer
from relora_core.optim.timeline import Timeline
from relora_core.spec import CheckpointSpec, TrainSpec
from relora_core.state import TrainState
from relora_core.tasks import build_task
from relora_core.training.stepper import Stepper
from relora_core.workdir.micro_batch_limits import MicroBatchLimits


class Pauses(BaseModel):
    """Pauses in seconds, one number for each round."""

    model_config = ConfigDict(frozen=True)

    model: str
    restarts: list[float]
    checkpoint_pauses: list[float]  # until the step loop can continue
    blocking_saves: list[float]  # until the checkpoint is on disk

    def restart_share(self, step_seconds: float) -> float:
        """Return the share of the run time that restarts take, at one per `RESET_EVERY` steps."""
        restart = median(self.restarts)
        return restart / (restart + RESET_EVERY * step_seconds)


class _Clock(Protocol):
    def __call__(self) -> float: ...


def measure_pauses(workload: Workload, *, device: str, rounds: int, cache: Path) -> Pauses:
    """Measure the trainer's own restart and checkpoint, after some steps."""
    spec = workload.spec("relora")
    world = World(0, 1, torch.device(device))
    task = build_task(spec, cache=cache, emit=silent)
    method = build_method(spec, Timeline.of(spec))
    model = task.build_model(method)
    method.shape(model, None)
    model.to(world.device)  # type: ignore[arg-type] # transformers wraps `to` without its types
    state = TrainState(model, build_optimizer(model, spec.optimizer))
    method.before_step(state)
    clock = _clock(device)
    restarts: list[float] = []
    pauses: list[tuple[float, float]] = []
    with (
        closing(BatchLoader(task.train, global_batch_size=workload.sequences, seed=0)) as batches,
        tempfile.TemporaryDirectory() as folder,
        closing(_checkpoints(Path(folder), spec)) as checkpoints,
    ):
        stepper = Stepper(spec, task, world, silent, MicroBatchLimits(Path(folder), world.rank))
        stepper.prepare(state, batches.batch(0))
        for number in range(1, rounds + 1):
            stepper.step(state, batches.batch(number), 1e-3)
            state.counters.step = number * RESET_EVERY
            restarts.append(_seconds(clock, lambda: method.before_step(state)))
            pauses.append(_save(checkpoints, state, clock))
    return Pauses(
        model=workload.name,
        restarts=restarts,
        checkpoint_pauses=[pause for pause, _ in pauses],
        blocking_saves=[save for _, save in pauses],
    )


def _checkpoints(folder: Path, spec: TrainSpec) -> Checkpoints:
    return Checkpoints(folder, CheckpointSpec(keep_last=1), silent, identity=Identity(spec))


def _save(checkpoints: Checkpoints, state: TrainState, clock: _Clock) -> tuple[float, float]:
    started = clock()
    checkpoints.save(state)
    going_on = clock()
    checkpoints.wait()
    return going_on - started, clock() - started


def _seconds(clock: _Clock, action: Callable[[], object]) -> float:
    started = clock()
    action()
    return clock() - started


def _clock(device: str) -> _Clock:
    def synchronized() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronized if device == "cuda" else time.perf_counter
