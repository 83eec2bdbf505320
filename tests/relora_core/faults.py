"""The trainer with something wrong: `python -m tests.relora_core.faults FAULT train ...`.

`kill:MODULE:FUNCTION:N` ends the process by SIGKILL in place of the N-th call of a function, as
its MODULE knows it. `diverge:factors` lets rank 1 draw other factors at the first restart,
`diverge:weights` lets it learn a little faster.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from relora_core.__main__ import main
from relora_core.lowrank.linear import LowRankLinear
from relora_core.stepper import Stepper, StepResult

Function = Callable[..., Any]


def kill(module: str, function: str, call: str) -> None:
    target = importlib.import_module(module)
    whole: Function = getattr(target, function)
    calls = 0

    def killed(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == int(call):
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*args, **kwargs)

    setattr(target, function, killed)


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

        def faster(self: Stepper, state: Any, batch: Any, learning_rate: float) -> StepResult:
            return step(self, state, batch, learning_rate * 1.001)

        Stepper.step = faster  # type: ignore[method-assign]


FAULTS: dict[str, Callable[..., None]] = {"kill": kill, "diverge": diverge}

if __name__ == "__main__":
    name, *arguments = sys.argv[1].split(":")
    FAULTS[name](*arguments)
    sys.exit(main(sys.argv[2:]))
