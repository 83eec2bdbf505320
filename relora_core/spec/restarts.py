"""Check whether the options of restarts fit each other."""

from relora_core.counted import counted
from relora_core.spec.method import MethodSpec, ReloraMethod
from relora_core.spec.phases import Phases
from relora_core.spec.written import SpecConflict


def check_restarts(method: MethodSpec, phases: Phases, *, restart_warmup_steps: int) -> None:
    """Raise `SpecConflict` if no restart can come when, or renew what, the method says."""
    if not isinstance(method, ReloraMethod) or phases.reset_every is None:
        return
    _check_bounds(method, phases)
    if restart_warmup_steps >= phases.reset_every:
        least = "shortest_cycle" if phases.is_automatic else "reset_every"
        raise SpecConflict(
            "schedule.restart_warmup_steps",
            f"must be less than method.{least} ({phases.reset_every}); got {restart_warmup_steps}",
        )
    check_part(method)
    if method.reset == "rolling":
        _check_rolling(method, phases.reset_every)


def _check_bounds(method: ReloraMethod, phases: Phases) -> None:
    if not phases.is_automatic:
        for name in ("shortest_cycle", "longest_cycle"):
            if getattr(method, name) is not None:
                raise SpecConflict(
                    f"method.{name}",
                    "bounds the cycles that a run ends itself; set method.reset_every to auto, or "
                    "leave it out",
                )
        return
    assert phases.reset_every is not None
    assert phases.longest_cycle is not None
    if phases.longest_cycle < phases.reset_every:
        raise SpecConflict(
            "method.longest_cycle",
            f"must be at least method.shortest_cycle ({phases.reset_every}); "
            f"got {phases.longest_cycle}",
        )
    if method.reset == "rolling":
        raise SpecConflict(
            "method.reset_every",
            "auto decides when a whole cycle ends, and rolling restarts come at equal distances; "
            "give a number of steps, or set method.reset to whole",
        )
    if method.reset_growth != 1:
        raise SpecConflict(
            "method.reset_growth",
            "says how cycles grow, and auto decides it; set it to 1, or method.reset_every to a "
            "number of steps",
        )


def check_part(method: ReloraMethod) -> None:
    """Raise `SpecConflict` if restarts cannot renew a part of the factors with this method."""
    reset = method.reset
    if reset == "whole":
        return
    if method.rank == 1:
        raise SpecConflict(
            "method.reset", f"{reset} needs a rank of at least 2; raise method.rank or take whole"
        )
    if method.factor_init == "gradient":
        raise SpecConflict(
            "method.factor_init",
            f"gradient sets all rows of A at a restart, and {reset} keeps some; take orthogonal "
            "or random, or method.reset whole",
        )
    if method.optimizer_reset.mode != "zero":
        raise SpecConflict(
            "method.optimizer_reset",
            f"{reset} clears the state of what it renews; take mode zero or leave it out, or set "
            "method.reset to whole",
        )


def _check_rolling(method: ReloraMethod, reset_every: int) -> None:
    if reset_every < method.rank:
        raise SpecConflict(
            "method.reset_every",
            f"rolling renews one of {method.rank} components at a restart, so a cycle needs at "
            f"least {counted(method.rank, 'step')} (method.rank); got {reset_every}",
        )
    if method.reset_growth != 1:
        raise SpecConflict(
            "method.reset_growth",
            "rolling restarts come at equal distances; set it to 1, or method.reset to whole",
        )
