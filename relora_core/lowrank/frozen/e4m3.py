"""Quantize rows to fp8: e4m3 floats, with a power of two as the scale of each row.

A product with a power of two changes only the exponent. So a number is rounded once, to the
four significant bits of e4m3; a dequantized number is exact in bf16; and a scale can move from
one factor of a product to the other without an error. A finer scale would gain nothing, because
the relative error of a float does not depend on its exponent.

In a row, numbers down to 2^-13 of the largest keep all four bits. Smaller numbers lose a bit with
each halving, and below 2^-19 all are zero.

A product is one `torch.nn.functional.scaled_mm` of the bare numbers, and the scales multiply its
result. A power of two makes no difference to the rounding, so the bits are those of the product
with a scale for each row. Kernels for such scales are slower, or missing, on many GPUs.
The kernels (torch 2.13, aten/src/ATen/native/cuda/ScaledBlas.cpp) need compute capability 8.9 or
more; a row-major left factor and a column-major right one, because Hopper supports no other
layout; and an inner side and a right outer side that 16 divides.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import ScalingType

from relora_core.spec import FrozenDtype

# Bit patterns of fp32. The largest e4m3 is 448 = 1.75 * 2^8, and no scale is below 2^-126.
_UP_TO_1_75 = 0x7FFFFF - 0x600000  # carries into the exponent from every larger significand
_EXPONENT = 0x7F800000
_SMALLEST = 0x04800000  # 2^-118
_ONE_TWICE = 0x7F000000  # the sum of the bits of 2^n and of 2^-n
_ALIGNMENT = 16  # must divide the sides of both factors, except the number of tokens
_FIRST_WITH_FP8 = (8, 9)  # compute capability: Ada, then Hopper


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
def has_fp8_matmul(device: torch.device) -> bool:
    """Return whether the device multiplies e4m3 numbers and torch has the kernel for it."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_WITH_FP8


class E4m3:
    name: FrozenDtype = "fp8"
    dtype = torch.float8_e4m3fn
    storage_dtype = (
        torch.uint8
    )  # `Module.to(dtype)` does not convert it, and every backend can send it

    def quantize_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows as e4m3, (..., n), and their scales, (..., 1) in fp32.

        A scale is the smallest power of two with which no number of the row is over 448. If a row
        is not finite, its scale or one of its numbers is not finite.
        """
        largest = rows.abs().amax(dim=-1, keepdim=True).float()
        powers = (largest.view(torch.int32) + _UP_TO_1_75) & _EXPONENT
        scales = powers.clamp(min=_SMALLEST).view(torch.float32) * 2**-8
        # computed from the bits: a compiler's kernel for a division may be off by a bit
        inverse = (_ONE_TWICE - scales.view(torch.int32)).view(torch.float32)
        return (rows * inverse).to(self.dtype), scales

    def has_fast_matmul(self, device: torch.device, dtype: torch.dtype, /) -> bool:
        return dtype == torch.bfloat16 and has_fp8_matmul(device)

    def alignment(self, _: torch.device, /) -> int:
        return _ALIGNMENT

    def needs_column_major(self, _: torch.device, /) -> bool:
        return True

    def multiply(
        self,
        left: Tensor,
        left_scales: Tensor,
        right: Tensor,
        right_scales: Tensor | None,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        one = left_scales.new_ones(())
        product = F.scaled_mm(
            left,
            right.view(self.dtype).T,
            one,
            ScalingType.TensorWise,
            one,
            ScalingType.TensorWise,
            output_dtype=dtype,
            # Fast accumulation has fewer bits than fp32. Gradients need all of them, so they do
            # not use it (the rule of NVIDIA's Transformer Engine).
            use_fast_accum=right_scales is not None,
        )
        scaled = product * left_scales.to(dtype)  # exact, as it is a power of two
        return scaled if right_scales is None else scaled * right_scales.T.to(dtype)
