"""x W' with W in e4m3, by the fp8 matrix units of a GPU, forward and for the gradient of x.

Both are one `torch.nn.functional.scaled_mm` with a scale for each row of both factors. What the
kernels ask for (torch 2.13, aten/src/ATen/native/cuda/ScaledBlas.cpp): compute capability 8.9 or
more; a left factor by rows and a right one by columns, as Hopper's units know no other; an inner
side and a right outer side that 16 divides, up to which zeros fill; fp32 scales, (M, 1) and (1, N).

The operators are plain ones, not opaque to torch.compile: quantizing x is four passes over it
unless it is fused with what made x, and layers with the same x share it. W is never dense here.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import ScalingType

from relora_core.lowrank.frozen.e4m3 import E4M3, quantize_rows

_SIDE = 16  # divides the sides of both factors, but for the number of tokens
_FIRST_WITH_FP8 = (8, 9)  # compute capability: Ada, then Hopper


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
def has_fp8_units(device: torch.device) -> bool:
    """Whether the device multiplies e4m3 numbers, and torch has the kernel for it."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_WITH_FP8


def scaled_linear(
    x: Tensor, codes: Tensor, scales: Tensor, columns: Tensor | None = None
) -> Tensor:
    """x (..., d_in) times the transposed W: (..., d_out), bf16.

    codes (d_out, d_in) uint8, the bits of W / scales; scales (d_out, 1); columns as `turned` makes
    them. Where there are none, backward turns the codes for itself.
    """
    y: Tensor = _ScaledLinear.apply(x, codes, scales, columns)  # type: ignore[no-untyped-call]
    return y


class _ScaledLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, columns: Tensor | None
    ) -> Tensor:
        ctx.d_in = x.shape[-1]
        ctx.save_for_backward(codes, scales, columns)
        return product(x, codes, scales)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        codes, scales, columns = ctx.saved_tensors
        columns = turned(codes) if columns is None else columns
        return gradient(grad, columns, scales, ctx.d_in), None, None, None


def turned(codes: Tensor) -> Tensor:
    """By columns, and with zeros up to sides that the kernels take."""
    return _filled_up(codes.T).contiguous()


def product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    return _times_rows(x, _filled_up(codes), scales, fast=True)  # (..., d_out)


def gradient(grad: Tensor, columns: Tensor, scales: Tensor, d_in: int) -> Tensor:
    """g W = (g S) C, with S the scales of the rows of W and C its codes: (..., d_in)."""
    ones = torch.ones(d_in, 1, device=columns.device)
    return _times_rows(grad * scales.T.to(grad.dtype), columns, ones, fast=False)


def _times_rows(left: Tensor, right: Tensor, scales: Tensor, *, fast: bool) -> Tensor:
    """left (..., k) times the transposed e4m3 numbers right, scales (n, 1): (..., n).

    The sides of `right` may be filled up. `fast` sums inside the units, in fewer than fp32's bits;
    gradients need them all (the rule of NVIDIA's Transformer Engine).
    """
    (k, n), (rows, columns) = (left.shape[-1], scales.shape[0]), right.shape
    flat = F.pad(left.reshape(-1, k), (0, columns - k)) if columns > k else left.reshape(-1, k)
    codes, left_scales = quantize_rows(flat)
    result = F.scaled_mm(
        codes.contiguous(),
        right.view(E4M3).T,
        left_scales,
        ScalingType.RowWise,
        F.pad(scales.T, (0, rows - n)) if rows > n else scales.T,
        ScalingType.RowWise,
        output_dtype=left.dtype,
        use_fast_accum=fast,
    )
    return result.view(*left.shape[:-1], rows).narrow(-1, 0, n)


def _filled_up(codes: Tensor) -> Tensor:
    """A copy with zeros, where a side needs them: a copy of bytes, short beside the product."""
    rows, columns = (-side % _SIDE for side in codes.shape)
    return F.pad(codes, (0, columns, 0, rows)) if rows or columns else codes
