"""Check whether the options of the factors fit each other, the optimizer and the parallelism."""

from relora_core.spec.method import LowRank, MethodSpec, ReloraMethod
from relora_core.spec.optimizer import BaseOptimizer
from relora_core.spec.training import TrainingSpec
from relora_core.spec.written import SpecConflict


def check_factors(method: MethodSpec, optimizer: BaseOptimizer, training: TrainingSpec) -> None:
    """Raise `SpecConflict` if the factors cannot start, or their moments rotate, as asked."""
    if not isinstance(method, LowRank):
        return
    if method.factor_init == "gradient" and training.parallelism == "fsdp":
        raise SpecConflict(
            "method.factor_init",
            "gradient needs the whole gradient of a layer, which no rank has under "
            "training.parallelism fsdp; take orthogonal or random, or ddp",
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
