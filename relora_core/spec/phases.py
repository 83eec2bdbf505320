"""What the clock asks of a method: its phases, and whether it restarts. Said here alone."""

from dataclasses import dataclass
from typing import assert_never

from relora_core.events import Phase
from relora_core.spec.method import (
    ControlMethod,
    FullMethod,
    GaloreMethod,
    LoraMethod,
    LowrankMethod,
    MethodSpec,
    ReloraMethod,
)


@dataclass(frozen=True)
class Phases:
    """One phase for the whole run, or a full-rank warm start before the low-rank phase."""

    first: Phase
    first_steps: int  # what comes after them is low rank
    reset_every: int | None = None  # steps between restarts; None: there are none

    def at(self, step: int) -> Phase:
        return self.first if step < self.first_steps else "low_rank"


def phases_of(method: MethodSpec, total_steps: int) -> Phases:
    match method:
        case FullMethod() | ControlMethod() | GaloreMethod():
            return Phases("full_rank", total_steps)
        case LowrankMethod():
            return Phases("low_rank", 0)
        case LoraMethod():
            return Phases("warm_start", method.warm_start_steps or 0)
        case ReloraMethod():
            # the paper's values (arXiv 2307.05695, appendix A) belong to runs of 20,000 steps;
            # shorter runs take the same shares
            share = min(5000, total_steps // 4)
            default = share if method.warm_start_from is None else 0
            steps = default if method.warm_start_steps is None else method.warm_start_steps
            return Phases("warm_start", steps, method.reset_every or max(1, share))
        case _:
            assert_never(method)
