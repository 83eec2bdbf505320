"""What becomes of the Adam state of A and B when they start anew.

The state of a factor is treated as one: both moments go through one mask, and the step
count starts again. A first moment beside a cleared second would make steps of
m / sqrt(0); a bias correction that still counts thousands of steps beside cleared moments
makes steps of up to 6.6 times the learning rate for beta2 = 0.999.

After pruning, the surviving moments count as one observation: the state is the one that
Adam has after a single step, whose gradient was the bias-corrected first moment and whose
squared gradient the bias-corrected second. So no update ever exceeds
sqrt((1 - beta1) / (1 - beta2)) times the learning rate, whatever the gradients and the mode,
for beta1 <= beta2 and up to the rounding of 8-bit state: the bound of Adam without any restart
(docs/method.md has the proof).
"""

import math
from collections.abc import Iterable
from typing import assert_never

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from relora_core.lowrank.adam_state import AdamState
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
        if state and AdamState(state).step:  # else no step was taken yet
            kept += _reset(AdamState(state), reset, betas[id(parameter)], generator)
    return kept / total


def _reset(
    state: AdamState, reset: OptimizerReset, betas: tuple[float, float], generator: Generator
) -> int:
    match reset:
        case ZeroReset():
            return _clear(state)
        case MagnitudeReset():
            keep = _largest(state.first.values(), 1 - reset.ratio)
        case RandomReset():
            first = state.first.values()
            drawn = torch.rand(first.shape, generator=generator)
            keep = (drawn >= reset.ratio).to(first.device)
        case _:
            assert_never(reset)
    return _prune(state, keep, betas)


def _clear(state: AdamState) -> int:
    state.first.clear()
    state.second.clear()
    state.step = 0
    return 0


def _prune(state: AdamState, keep: Tensor, betas: tuple[float, float]) -> int:
    """Keep the entries of the mask, as one observation; return how many there are."""
    keep = keep & (state.second.values() > 0)  # 8 bits may round a second moment to zero
    for moment, beta in zip((state.first, state.second), betas, strict=True):
        moment.prune(keep, scale=(1 - beta) / (1 - beta**state.step))
    state.step = 1
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
