"""Check whether the options of restarts fit each other."""

from relora_core.spec.method import MethodSpec, ReloraMethod
from relora_core.spec.phases import Phases
from relora_core.spec.written import SpecConflict


def check_restarts(method: MethodSpec, phases: Phases, *, restart_warmup_steps: int) -> None:
    """Raise `SpecConflict` if no restart can come when, or renew what, the method says."""
    if not isinstance(method, ReloraMethod) or phases.reset_every is None:
        return
    if restart_warmup_steps >= phases.reset_every:
        raise SpecConflict(
            "schedule.restart_warmup_steps",
            f"must be less than method.reset_every ({phases.reset_every}); "
            f"got {restart_warmup_steps}",
        )
    if method.reset == "rolling":
        _check_rolling(method, phases.reset_every)


def _check_rolling(method: ReloraMethod, reset_every: int) -> None:
    if method.rank == 1:
        raise SpecConflict(
            "method.reset", "rolling needs a rank of at least 2; raise method.rank or take whole"
        )
    if reset_every < method.rank:
        raise SpecConflict(
            "method.reset_every",
            f"rolling renews one of {method.rank} components at a restart, so a cycle needs at "
            f"least {method.rank} steps (method.rank); got {reset_every}",
        )
    if method.reset_growth != 1:
        raise SpecConflict(
            "method.reset_growth",
            "rolling restarts come at equal distances; set it to 1, or method.reset to whole",
        )
    if method.factor_init == "gradient":
        raise SpecConflict(
            "method.factor_init",
            "gradient runs four batches at each restart, and a rolling cycle has "
            f"{method.rank} of them (method.rank); take orthogonal or random, or method.reset "
            "whole",
        )
    if method.optimizer_reset.mode != "zero":
        raise SpecConflict(
            "method.optimizer_reset",
            "rolling clears the state of the component that it renews and keeps all other state; "
            "take mode zero or leave it out, or set method.reset to whole",
        )
