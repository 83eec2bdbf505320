"""The floating-point operations (FLOPs) of one token, forward and backward.

A linear layer with a weight (m, n) takes 2mn forward, 2mn for the gradient of its input and
2mn for the gradient of its weight (Kaplan et al., arXiv 2001.08361, section 2.1). If W is frozen,
its gradient is not computed. The update s B A x adds 6r(m + n), or, if it is merged with W,
4r(m + n) and 4rmn for each micro-batch (`relora_core.lowrank.variant`). Attention takes 4 s d
forward for each layer and query of width d, and twice that backward (Chowdhery et al., arXiv
2204.02311, appendix B: all pairs of tokens count, although a causal kernel skips half of them).
Norms, activation functions, softmax and the optimizer are not counted.
"""

from relora_core.estimate.parameter_plan import ParameterPlan
from relora_core.shapes import Linear, ModelShape


def model_flops(shape: ModelShape, sequence_length: int) -> float:
    """Return the FLOPs of a token in full-rank training, for every method: the base of MFU."""
    linears = sum(6 * linear.weights * _share(linear, shape) for linear in shape.linears)
    return linears + 3 * _attention(shape, sequence_length)


def executed_flops(
    plan: ParameterPlan, sequence_length: int, *, sequences: int, recomputed: bool
) -> float:
    """Return the FLOPs that are executed for a token of a micro-batch of `sequences`.

    If `recomputed`, gradient checkpointing runs the forward pass of the blocks twice.
    """
    shape, tokens = plan.shape, sequences * sequence_length
    forward, backward = (
        sum(way(linear, plan, tokens) * _share(linear, shape) for linear in shape.linears)
        for way in (_forward, _backward)
    )
    attention = _attention(shape, sequence_length)
    again = attention + sum(
        _forward(linear, plan, tokens) for linear in shape.linears if linear.in_block
    )
    return forward + backward + 3 * attention + (again if recomputed else 0)


def flops_in_8_bits(plan: ParameterPlan, *, tokens: int, recomputed: bool) -> float:
    """Return the part of `executed_flops` with W as stored: W x and the gradient of x."""
    return sum(
        2 * linear.weights * (3 if recomputed and linear.in_block else 2)
        for linear in plan.shape.linears
        if plan.is_in_8_bits(linear, tokens=tokens)
    )


def _forward(linear: Linear, plan: ParameterPlan, tokens: int) -> float:
    if plan.is_merged(linear, tokens=tokens):
        return 2 * linear.weights * (1 + plan.rank / tokens)
    return 2 * (linear.weights * plan.is_dense(linear) + plan.factor_elements(linear))


def _backward(linear: Linear, plan: ParameterPlan, tokens: int) -> float:
    factors = 4 * plan.factor_elements(linear)  # four products; if merged, one is A x again
    if plan.is_merged(linear, tokens=tokens):
        return 2 * linear.weights * (1 + plan.rank / tokens) + factors
    gradients = 1 if plan.is_frozen(linear) else 2
    return 2 * linear.weights * gradients * plan.is_dense(linear) + factors


def _share(linear: Linear, shape: ModelShape) -> float:
    """Return how often a layer runs for a token: a classifier's head runs once for an image."""
    head_of_images = shape.image_tokens is not None and not linear.in_block
    return 1 / shape.image_tokens if head_of_images and shape.image_tokens else 1.0


def _attention(shape: ModelShape, sequence_length: int) -> int:
    return 4 * shape.layers * shape.heads * shape.head_dim * sequence_length
