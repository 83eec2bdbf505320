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
from collections.abc import Iterable, Mapping
from typing import assert_never

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from relora_core.distributed.dtensor import full_tensor
from relora_core.lowrank.adam_state import AdamState, PlainMoment
from relora_core.lowrank.linear import LowRankLinear, LowRankUpdate
from relora_core.spec import (
    KeepReset,
    MagnitudeReset,
    OptimizerReset,
    RandomReset,
    RotateReset,
    ZeroReset,
)


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
    betas = _betas(optimizer)
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
        case KeepReset() | RotateReset():
            return state.first.values().numel()
        case MagnitudeReset():
            keep = _largest(state.first.values(), 1 - reset.ratio)
        case RandomReset():
            first = state.first.values()
            drawn = torch.rand(first.shape, generator=generator)
            keep = (drawn >= reset.ratio).to(first.device)
        case _:
            assert_never(reset)
    return _prune(state, keep, betas)


@torch.no_grad()
def clear_component(optimizer: Optimizer, layers: Iterable[LowRankUpdate], component: int) -> float:
    """Clear both moments of a row of every A and of its column of every B.

    Return the share of entries that keep their state. The step counts stay: Adam has one for a
    whole factor, not for each entry.
    """
    kept = total = 0
    for layer in layers:
        for factor in layer.trained_factors:
            total += factor.numel()
            if state := optimizer.state.get(factor):
                keep = torch.ones(factor.shape, dtype=torch.bool, device=factor.device)
                keep.select(0 if factor is layer.lora_a else 1, component).fill_(False)
                adam = AdamState(state)
                adam.first.prune(keep, scale=1)
                adam.second.prune(keep, scale=1)
                kept += int(keep.sum())
    return kept / total


def can_rotate(optimizer: Optimizer, layer: LowRankLinear) -> bool:
    """Return whether the moments of B can be written: codes of 8 bits cannot."""
    state = optimizer.state.get(layer.lora_b)
    return not state or isinstance(AdamState(state).first, PlainMoment)


@torch.no_grad()
def rotate_state(optimizer: Optimizer, old: Mapping[LowRankLinear, Tensor]) -> None:
    """Express the moments of each B in the rows of its new A.

    `old` has the A of each layer before. The rows of both A are orthonormal.

    With G the gradient of W, the gradient of B is s G Aᵀ. So a first moment m becomes m Q with
    Q = A_old A_newᵀ; what lies outside of the rows of A_old is taken as zero. The second moment is
    that of LDAdam (arXiv 2410.16103, algorithm 1): with independent entries of a row, the variances
    v̂ - m̂² add up with the squares of Q, and, with squares of each entry,

        v = (1 - β₂ᵗ) max(|(v̂ - m̂²) Q² + (m̂ Q)²|, (m̂ Q)² (1 - β₂) / (1 - β₁))

    The second term is not LDAdam's. It keeps the bound: v̂ - m̂² can be negative, and the sum zero
    where m̂ Q is not. Without a rotation it changes nothing, because Adam is within the bound.
    """
    betas = _betas(optimizer)
    for layer, old_a in old.items():
        state = optimizer.state.get(layer.lora_b)
        if state and AdamState(state).step:  # otherwise no step has been taken yet
            q = old_a @ full_tensor(layer.lora_a).T  # (r, r)
            _rotate(AdamState(state), q, betas[id(layer.lora_b)])


def _rotate(adam: AdamState, q: Tensor, betas: tuple[float, float]) -> None:
    assert isinstance(adam.first, PlainMoment)
    assert isinstance(adam.second, PlainMoment)
    beta1, beta2 = betas
    correction1, correction2 = 1 - beta1**adam.step, 1 - beta2**adam.step
    first, second = adam.first.values() / correction1, adam.second.values() / correction2
    rotated = first @ q  # (d_out, r)
    adam.first.set(correction1 * rotated)
    variance = (second - first.square()) @ q.square()
    least = rotated.square() * (1 - beta2) / (1 - beta1)
    adam.second.set(correction2 * (variance + rotated.square()).abs().maximum(least))


def _betas(optimizer: Optimizer) -> dict[int, tuple[float, float]]:
    return {id(p): group["betas"] for group in optimizer.param_groups for p in group["params"]}


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
