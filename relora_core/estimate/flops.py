"""Floating-point operations of one token, forward and backward.

A linear layer with a weight (m, n) takes 2mn forward, 2mn for the gradient of its input and
2mn for that of its weight (Kaplan et al., arXiv 2001.08361, section 2.1). With W frozen the
last is not computed; the update s B A x adds 6r(m + n). Attention takes 4 s d forward for
each layer and query of width d, and twice that backward (Chowdhery et al., arXiv 2204.02311,
appendix B: all pairs of tokens count, though a causal kernel skips half of them). Norms,
activations, softmax and the optimizer are left out.
"""

from relora_core.estimate.layout import Layout
from relora_core.shapes import Linear, ModelShape


def model_flops(shape: ModelShape, sequence_length: int) -> float:
    """What full-rank training needs, however the model is trained: the measure of MFU."""
    linears = sum(6 * linear.weights * _share(linear, shape) for linear in shape.linears)
    return linears + 3 * _attention(shape, sequence_length)


def executed_flops(layout: Layout, sequence_length: int, *, recomputed: bool) -> float:
    """What is computed; `recomputed`: gradient checkpointing runs the blocks forward twice."""
    shape = layout.shape
    forward = sum(_forward(linear, layout) * _share(linear, shape) for linear in shape.linears)
    backward = sum(_backward(linear, layout) * _share(linear, shape) for linear in shape.linears)
    attention = _attention(shape, sequence_length)
    again = sum(_forward(linear, layout) for linear in shape.linears if linear.in_block) + attention
    return forward + backward + 3 * attention + (again if recomputed else 0)


def _forward(linear: Linear, layout: Layout) -> int:
    return 2 * (linear.weights * layout.is_dense(linear) + layout.factor_elements(linear))


def _backward(linear: Linear, layout: Layout) -> int:
    gradients = 1 if layout.is_frozen(linear) else 2
    return 2 * (
        linear.weights * gradients * layout.is_dense(linear) + 2 * layout.factor_elements(linear)
    )


def _share(linear: Linear, shape: ModelShape) -> float:
    """How often a layer runs for a token: the head of a classifier sees one of them."""
    head_of_images = shape.image_tokens is not None and not linear.in_block
    return 1 / shape.image_tokens if head_of_images and shape.image_tokens else 1.0


def _attention(shape: ModelShape, sequence_length: int) -> int:
    return 4 * shape.layers * shape.heads * shape.head_dim * sequence_length
