"""Rows of numbers in 8 bits: e4m3 floats, and for each row a power of two as their scale.

A product with a power of two changes the exponent alone. So a number is rounded once, to the
four significant bits that e4m3 has; a dequantized number is exact in bf16; and a scale moves
from one factor of a product to the other without an error. A finer scale would gain nothing:
the error of a float does not depend on where in its range the row lies.

In a row, numbers down to 2^-13 of the largest keep all four bits. Smaller ones lose a bit with each
halving, and under 2^-19 all are zero.

The units multiply by one `torch.nn.functional.scaled_mm` with a scale for each row of both factors.
What the kernels ask for (torch 2.13, aten/src/ATen/native/cuda/ScaledBlas.cpp): compute capability
8.9 or more; a left factor by rows and a right one by columns, as Hopper's units know no other; an
inner side and a right outer side that 16 divides; fp32 scales, (M, 1) and (1, N).
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import ScalingType

from relora_core.spec import FrozenDtype

# In bits of fp32. The largest e4m3 is 448 = 1.75 * 2^8, and no row is scaled by less than 2^-126.
_UP_TO_1_75 = 0x7FFFFF - 0x600000  # carries into the exponent from every larger significand
_EXPONENT = 0x7F800000
_SMALLEST = 0x04800000  # 2^-118
_ONE_TWICE = 0x7F000000  # the bits of 2^n and of 2^-n add up to it
_SIDE = 16  # divides the sides of both factors, but for the number of tokens
_FIRST_WITH_FP8 = (8, 9)  # compute capability: Ada, then Hopper


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
def has_fp8_units(device: torch.device) -> bool:
    """Whether the device multiplies e4m3 numbers, and torch has the kernel for it."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_WITH_FP8


class E4m3:
    name: FrozenDtype = "fp8"
    dtype = torch.float8_e4m3fn
    held = torch.uint8  # `Module.to(dtype)` leaves them, any backend sends them

    def quantize_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """A scale is the smallest power of two with which nothing of the row is over 448.

        A row that is not finite has a scale or a number that is not.
        """
        largest = rows.abs().amax(dim=-1, keepdim=True).float()
        powers = (largest.view(torch.int32) + _UP_TO_1_75) & _EXPONENT
        scales = powers.clamp(min=_SMALLEST).view(torch.float32) * 2**-8
        # by its bits: the quotients that compilers put into kernels may be off by a bit
        inverse = (_ONE_TWICE - scales.view(torch.int32)).view(torch.float32)
        return (rows * inverse).to(self.dtype), scales

    def has_tensor_cores(self, device: torch.device, dtype: torch.dtype, /) -> bool:
        return dtype == torch.bfloat16 and has_fp8_units(device)

    def side(self, _: torch.device, /) -> int:
        return _SIDE

    def by_columns(self, _: torch.device, /) -> bool:
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
        ones = torch.ones(right.shape[0], 1, device=right.device)
        return F.scaled_mm(
            left,
            right.view(self.dtype).T,
            left_scales,
            ScalingType.RowWise,
            (ones if right_scales is None else right_scales).T,
            ScalingType.RowWise,
            output_dtype=dtype,
            # inside the units, in fewer than fp32's bits, which gradients need all (the rule of
            # NVIDIA's Transformer Engine)
            use_fast_accum=right_scales is not None,
        )
