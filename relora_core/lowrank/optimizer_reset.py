"""What becomes of the Adam state of A and B when they start anew.

The state of a factor is treated as one: both moments go through one mask, and the step
count starts again. A first moment beside a cleared second would make steps of
m / sqrt(0); a bias correction that believes in thousands of steps beside cleared moments
makes steps of up to 6.6 times the learning rate for beta2 = 0.999.

After pruning, the surviving moments count as one observation: the state is the one that
Adam has after a single step whose gradient was the surviving bias-corrected first moment,
and its square the second. So |update| <= sqrt(2) lr holds from the first step on where
|m| <= sqrt(v), for any betas.
"""

import math
from collections.abc import Iterable
from typing import Any, assert_never

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from relora_core.spec import MagnitudeReset, OptimizerReset, RandomReset, ZeroReset


@torch.no_grad()
def reset_optimizer_state(
    optimizer: Optimizer,
    parameters: Iterable[Tensor],
    reset: OptimizerReset,
    *,
    generator: Generator,
) -> float:
    """Reset the state of `parameters` in place; return the share of entries that kept theirs.

    `generator` (on the CPU) decides what `random` keeps: seeded alike, ranks agree.
    """
    betas = {id(p): group["betas"] for group in optimizer.param_groups for p in group["params"]}
    kept = total = 0
    for parameter in parameters:
        total += parameter.numel()
        state = optimizer.state.get(parameter)
        if not state:  # no step was taken yet
            continue
        kept += _reset(state, reset, betas[id(parameter)], generator)
    return kept / total


def _reset(
    state: dict[str, Any], reset: OptimizerReset, betas: tuple[float, float], generator: Generator
) -> int:
    match reset:
        case ZeroReset():
            for tensor in (state["exp_avg"], state["exp_avg_sq"], state["step"]):
                tensor.zero_()
            return 0
        case MagnitudeReset():
            keep = _largest(state["exp_avg"], 1 - reset.ratio)
        case RandomReset():
            drawn = torch.rand(state["exp_avg"].shape, generator=generator)
            keep = (drawn >= reset.ratio).to(state["exp_avg"].device)
        case _:
            assert_never(reset)
    for name, beta in zip(("exp_avg", "exp_avg_sq"), betas, strict=True):
        bias_correction = 1 - beta ** float(state["step"])
        state[name].mul_(keep).mul_((1 - beta) / bias_correction)
    state["step"].fill_(1)
    return int(keep.sum())


def _largest(moment: Tensor, share: float) -> Tensor:
    """A mask of the `share` of entries with the largest magnitude; ties are cut exactly.

    By top-k: `torch.quantile` refuses tensors over 16M elements.
    """
    magnitude = moment.abs().flatten()
    count = math.ceil(share * magnitude.numel() - 1e-9)  # 1 - 0.9 is a little over 0.1
    keep = torch.zeros_like(magnitude, dtype=torch.bool)
    keep[magnitude.topk(count, sorted=False).indices] = True
    return keep.view_as(moment)
