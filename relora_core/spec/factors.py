"""Check whether the options of low-rank methods fit each other, optimizer and parallelism."""

from relora_core.spec.method import LowRank, MethodSpec, ReloraMethod
from relora_core.spec.optimizer import BaseOptimizer
from relora_core.spec.training import TrainingSpec
from relora_core.spec.written import SpecConflict

_MANY_STEPS = 10**6  # enough for a warm start of a share of them


def check_factors(method: MethodSpec, optimizer: BaseOptimizer, training: TrainingSpec) -> None:
    """Raise `SpecConflict` if warm start, factors or their moments cannot be as the spec asks."""
    if not isinstance(method, LowRank):
        return
    _check_warm_start(method, optimizer, training)
    if method.factor_init == "gradient" and training.shards:
        raise SpecConflict(
            "method.factor_init",
            "gradient needs the whole gradient of a layer, which no rank has under "
            f"training.parallelism {training.parallelism}; take orthogonal or random, or ddp",
        )
    if not isinstance(method, ReloraMethod) or method.optimizer_reset.mode != "rotate":
        return
    if method.rotation_conflict is not None:
        raise SpecConflict("method.optimizer_reset", method.rotation_conflict)
    if optimizer.needs_bitsandbytes:
        raise SpecConflict(
            "method.optimizer_reset",
            f"rotate needs moments in fp32, and {optimizer.name} has them in 8 bits; take "
            "optimizer adamw, or another mode",
        )


def _check_warm_start(method: LowRank, optimizer: BaseOptimizer, training: TrainingSpec) -> None:
    name, start = method.warm_start, method.warm_start_method
    if optimizer.needs_matrices and method.phases(_MANY_STEPS).first_steps == 0:
        raise SpecConflict(
            "optimizer.name",
            f"{optimizer.name} is for the weights of the blocks, which are frozen without a warm "
            "start; set method.warm_start_steps, or take adamw",
        )
    if name != "full" and method.warm_start_from is not None:
        raise SpecConflict(
            "method.warm_start",
            f"there is none to train as {name}, for warm_start_from stands for it; give one of "
            "the two",
        )
    if start.optimizers is not None and optimizer.name not in start.optimizers:
        raise SpecConflict(
            "method.warm_start",
            f"{name} runs with optimizer {' or '.join(start.optimizers)} alone; got "
            f"{optimizer.name}; take full, or another optimizer",
        )
    if start.fsdp_conflict is not None and training.shards:
        raise SpecConflict(
            "method.warm_start",
            f"{name} {start.fsdp_conflict} under training.parallelism {training.parallelism}; "
            "take full, or ddp",
        )
