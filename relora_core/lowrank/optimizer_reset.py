"""Reset the Adam state of A and B when a restart reinitializes them.

Both moments of a factor get the same mask, and the step count starts again. If only the second
moment were cleared, steps would have the size m / sqrt(0). If the moments were cleared but the
bias correction still counted thousands of steps, steps would reach 6.6 times the learning rate
for beta2 = 0.999.

After pruning, the remaining moments count as one observation. The state is that of Adam after a
single step, whose gradient was the bias-corrected first moment and whose squared gradient was the
bias-corrected second moment. So no update ever exceeds sqrt((1 - beta1) / (1 - beta2)) times the
learning rate. This holds for all gradients and modes if beta1 <= beta2, up to the rounding of
8-bit state. It is the bound of Adam without any restart (docs/method.md has the proof).
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
    """Reset the state of `parameters` in place. Return the share of entries that keep their state.

    `generator` (on the CPU) decides what the mode `random` keeps. All ranks seed it alike, so
    that they keep the same entries.
    """
    betas = {id(p): group["betas"] for group in optimizer.param_groups for p in group["params"]}
    kept = total = 0
    for parameter in parameters:
        total += parameter.numel()
        state = optimizer.state.get(parameter)
        if state and AdamState(state).step:  # otherwise no step has been taken yet
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
    """Keep the entries of the mask as one observation, and return their number."""
    keep = keep & (state.second.values() > 0)  # 8 bits may round a second moment to zero
    for moment, beta in zip((state.first, state.second), betas, strict=True):
        moment.prune(keep, scale=(1 - beta) / (1 - beta**state.step))
    state.step = 1
    return int(keep.sum())


def _largest(moment: Tensor, share: float) -> Tensor:
    """Return a mask of the `share` of entries with the largest magnitude, exact also with ties.

    It uses top-k, because `torch.quantile` refuses tensors of over 16M elements.
    """
    magnitude = moment.abs().flatten()
    count = math.ceil(share * magnitude.numel() - 1e-9)  # 1 - 0.9 is a little over 0.1
    keep = torch.zeros_like(magnitude, dtype=torch.bool)
    keep[magnitude.topk(count, sorted=False).indices] = True
    return keep.view_as(moment)
