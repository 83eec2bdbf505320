"""Compute x (W + s B A)' with one product. The sum is formed in forward and again in backward.

Neither the sum nor a dequantized W is kept for backward: each direction is one operator, opaque to
torch.compile, as in `product`. Saved for backward are x, and the factors and W as they are stored.
Copies of the factors in the type of x are not saved, because they would be in memory for all
layers at once.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.frozen.stored_type import Stored

Dequantize = Callable[[Stored, torch.dtype], Tensor]
Merged = Callable[[Tensor, Tensor, Tensor, list[Tensor], float], Tensor]


def register_merged(name: str, dequantize: Dequantize) -> Merged:
    """Return the operator (x, A, B, stored, s) -> x (W + s B A)', named `relora::<name>_merged`.

    Shapes: x (..., d_in); A (r, d_in); B (d_out, r). The products run in the type of x, to which A
    and B are rounded. The sum is formed in fp32 (or wider) and rounded once. W gets no gradient.
    """

    def total(
        a: Tensor, b: Tensor, stored: list[Tensor], scale: float, dtype: torch.dtype
    ) -> Tensor:
        return _total(dequantize, a.to(dtype), b.to(dtype), tuple(stored), scale)

    @torch.library.custom_op(f"relora::{name}_merged_backward", mutates_args=())
    def backward(grad: Tensor, a: Tensor, b: Tensor, stored: list[Tensor], scale: float) -> Tensor:
        return grad @ total(a, b, stored, scale, grad.dtype)  # (..., d_in)

    @backward.register_fake
    def _(grad: Tensor, a: Tensor, _b: Tensor, _stored: list[Tensor], _scale: float) -> Tensor:
        return grad.new_empty(*grad.shape[:-1], a.shape[1])

    @torch.library.custom_op(f"relora::{name}_merged", mutates_args=())
    def merged(x: Tensor, a: Tensor, b: Tensor, stored: list[Tensor], scale: float) -> Tensor:
        return F.linear(x, total(a, b, stored, scale, x.dtype))  # (..., d_out)

    @merged.register_fake
    def _(x: Tensor, _a: Tensor, b: Tensor, _stored: list[Tensor], _scale: float) -> Tensor:
        return x.new_empty(*x.shape[:-1], b.shape[0])

    def keep_what_is_there(
        ctx: Any,
        inputs: tuple[Any, ...],
        output: Tensor,  # noqa: ARG001 # torch gives it by its name
    ) -> None:
        x, a, b, stored, ctx.scale = inputs
        ctx.save_for_backward(x, a, b, *stored)

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, a, b, *stored = ctx.saved_tensors
        grad_x = backward(grad, a, b, stored, ctx.scale)
        grad_a, grad_b = _gradients_of_factors(grad, x, a, b, ctx.scale)
        return grad_x, grad_a, grad_b, [None] * len(stored), None

    merged.register_autograd(differentiate, setup_context=keep_what_is_there)
    return merged


def _gradients_of_factors(
    grad: Tensor, x: Tensor, a: Tensor, b: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    grad, x = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])  # (M, d_out), (M, d_in)
    low_grad, low = scale * (grad @ b.to(x.dtype)), scale * (x @ a.to(x.dtype).T)  # (M, r)
    return (low_grad.T @ x).to(a.dtype), (grad.T @ low).to(b.dtype)  # (r, d_in), (d_out, r)


def _total(dequantize: Dequantize, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
    """Return W + s B A in the type of A, (d_out, d_in)."""
    if stored[0].dtype == a.dtype:
        return torch.addmm(stored[0], b, a, alpha=scale)
    wide = torch.promote_types(a.dtype, torch.float32)
    weight = dequantize(stored, wide)[:, : a.shape[1]]
    return torch.add(weight, b @ a, alpha=scale).to(a.dtype)
