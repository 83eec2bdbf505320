"""Compute W x for a quantized W.

Plain autograd would keep the dequantized W of every layer from forward to backward. A compiled
graph that shares one dequantization between both would do the same. So each direction is one
operator that dequantizes W itself and is opaque to torch.compile.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.frozen.stored_type import Stored

Linear = Callable[[Tensor, Tensor, Tensor], Tensor]
Gradient = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def register_dequantized(name: str, dequantize: Callable[[Stored, torch.dtype], Tensor]) -> Linear:
    """Return an operator as in `register_linear` that multiplies by the dequantized W."""

    def product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        return F.linear(x, dequantize((codes, scales), x.dtype)[:, : x.shape[-1]])

    def gradient(grad: Tensor, codes: Tensor, scales: Tensor, d_in: int) -> Tensor:
        return grad @ dequantize((codes, scales), grad.dtype)[:, :d_in]

    return register_linear(name, product, gradient)


def register_linear(name: str, product: Linear, gradient: Gradient) -> Linear:
    """Return the operator (x, codes, scales) -> x W', named `relora::<name>_linear`.

    Shapes: x (..., d_in); W (d_out, d_in), as `codes` and `scales`. Only x gets a gradient:
    `gradient` computes it from (gradient of x W', codes, scales, d_in).
    """

    @torch.library.custom_op(f"relora::{name}_linear_backward", mutates_args=())
    def backward(grad: Tensor, codes: Tensor, scales: Tensor, d_in: int) -> Tensor:
        return gradient(grad, codes, scales, d_in)  # (..., d_in)

    @backward.register_fake
    def _(grad: Tensor, _codes: Tensor, _scales: Tensor, d_in: int) -> Tensor:
        return grad.new_empty(*grad.shape[:-1], d_in)

    @torch.library.custom_op(f"relora::{name}_linear", mutates_args=())
    def linear(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        return product(x, codes, scales)  # (..., d_out)

    @linear.register_fake
    def _(x: Tensor, codes: Tensor, _scales: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:-1], codes.shape[0])

    def keep_what_is_stored(
        ctx: Any,
        inputs: tuple[Tensor, ...],
        output: Tensor,  # noqa: ARG001 # torch gives it by its name
    ) -> None:
        x, codes, scales = inputs
        ctx.d_in = x.shape[-1]
        ctx.save_for_backward(codes, scales)

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return backward(grad, *ctx.saved_tensors, ctx.d_in), None, None

    linear.register_autograd(differentiate, setup_context=keep_what_is_stored)
    return linear
