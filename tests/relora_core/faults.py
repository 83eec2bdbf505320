"""The trainer with something wrong: `python -m tests.relora_core.faults FAULT train ...`.

`kill:MODULE:FUNCTION:N` ends the process by SIGKILL in place of the N-th call of a function, as
its MODULE knows it. `fill:FOLDER:MODULE:FUNCTION:N` leaves no room on the folder's disk before that
call. `at:STEPS:ACT` acts before steps such as `25,45`, when the checkpoints of the steps before are
on disk: `kill` ends the process, `stop` stops it until it is continued (SIGCONT), and `break` is an
error that no part of it expects.

`diverge:factors` lets rank 1 draw other factors at the first restart, `diverge:weights` lets it
learn a little faster. `ask:N` asks rank 1 alone to stop, before the N-th step and from then on.
`poison:FILE` lets the loss of each sequence in a JSON file be NaN.
"""

import importlib
import itertools
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from relora_core import process
from relora_core.__main__ import main
from relora_core.checkpoint.checkpointer import Checkpoints
from relora_core.data.batch import Batch
from relora_core.lowrank.linear import LowRankLinear
from relora_core.state import TrainState
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training.step_result import PendingResult
from relora_core.training.stepper import Stepper
from tests.fixtures.disks import fill

Function = Callable[..., Any]


def kill(module: str, function: str, call: str) -> None:
    _before(module, function, call, partial(os.kill, os.getpid(), signal.SIGKILL))


def fill_disk(disk: str, module: str, function: str, call: str) -> None:
    _before(module, function, call, partial(fill, Path(disk)))


def _before(module: str, function: str, call: str, act: Callable[[], object]) -> None:
    target = importlib.import_module(module)
    whole: Function = getattr(target, function)
    calls = itertools.count(1)

    def faulty(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == int(call):
            act()
        return whole(*args, **kwargs)

    setattr(target, function, faulty)


def at(steps: str, act: str) -> None:
    save, step = Checkpoints.save, Stepper.step

    def save_and_wait(self: Checkpoints, state: TrainState) -> None:
        save(self, state)
        self.wait()

    def faulty(self: Stepper, state: TrainState, *args: Any, **kwargs: Any) -> PendingResult:
        if str(state.counters.step + 1) in steps.split(","):
            ACTS[act]()
        return step(self, state, *args, **kwargs)

    Checkpoints.save = save_and_wait  # type: ignore[method-assign]
    Stepper.step = faulty  # type: ignore[method-assign]


def _break() -> None:
    raise RuntimeError("injected")


ACTS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "break": _break,
}


def diverge(what: str) -> None:
    if os.environ["RANK"] != "1":
        return
    if what == "factors":
        draw = LowRankLinear.reinitialize

        def other(self: LowRankLinear, *, seed: int, restart: int, name: str) -> None:
            draw(self, seed=seed + restart, restart=restart, name=name)

        LowRankLinear.reinitialize = other  # type: ignore[method-assign]
    else:
        step = Stepper.step

        def faster(
            self: Stepper, state: Any, batch: Any, learning_rate: float, **asked: bool
        ) -> PendingResult:
            return step(self, state, batch, learning_rate * 1.001, **asked)

        Stepper.step = faster  # type: ignore[method-assign]


def ask(number: str) -> None:
    calls = itertools.count(1)

    def stop_requested() -> bool:
        return next(calls) >= int(number) and os.environ["RANK"] == "1"

    process._stop_requests = lambda *_: stop_requested  # one for all


def poison(file: str) -> None:
    CausalLM.sum_of_losses = poisoned(json.loads(Path(file).read_text()))  # type: ignore[assignment, method-assign]


def poisoned(
    sequences: Iterable[Iterable[int]], *, times: float = math.nan
) -> Callable[[CausalLM, nn.Module, Batch], Tensor]:
    """Return a sum of losses that is `times` what it is, where one of the sequences is read."""
    bad = set(map(tuple, sequences))
    healthy = CausalLM.sum_of_losses

    def loss(task: CausalLM, model: nn.Module, batch: Batch) -> Tensor:
        total = healthy(task, model, batch)
        return total * times if bad & set(map(tuple, batch.inputs.tolist())) else total

    return loss


FAULTS: dict[str, Callable[..., None]] = {
    "kill": kill,
    "fill": fill_disk,
    "at": at,
    "diverge": diverge,
    "ask": ask,
    "poison": poison,
}


def inject(fault: str) -> None:
    name, *arguments = fault.split(":")
    FAULTS[name](*arguments)


if __name__ == "__main__":
    inject(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
