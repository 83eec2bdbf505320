"""Rows of numbers in 8 bits: e4m3 floats, and for each row a power of two as their scale.

A product with a power of two changes the exponent alone. So a number is rounded once, to the
four significant bits that e4m3 has; a dequantized number is exact in bf16; and a scale moves
from one factor of a product to the other without an error. A finer scale would gain nothing:
the error of a float does not depend on where in its range the row lies.

In a row, numbers down to 2^-13 of the largest keep all four bits. Smaller ones lose a bit with each
halving, and under 2^-19 all are zero.
"""

import torch
from torch import Tensor

E4M3 = torch.float8_e4m3fn
# In bits of fp32. The largest e4m3 is 448 = 1.75 * 2^8, and no row is scaled by less than 2^-126.
_UP_TO_1_75 = 0x7FFFFF - 0x600000  # carries into the exponent from every larger significand
_EXPONENT = 0x7F800000
_SMALLEST = 0x04800000  # 2^-118
_ONE_TWICE = 0x7F000000  # the bits of 2^n and of 2^-n add up to it


def quantize_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest e4m3 of rows / scale, and the scales: (..., n), and (..., 1) in fp32.

    A scale is the smallest power of two with which nothing of the row is over 448. A row that
    is not finite has a scale or a number that is not.
    """
    largest = rows.abs().amax(dim=-1, keepdim=True).float()
    powers = (largest.view(torch.int32) + _UP_TO_1_75) & _EXPONENT
    scales = powers.clamp(min=_SMALLEST).view(torch.float32) * 2**-8
    # by its bits: the quotients that compilers put into kernels may be off by a bit
    inverse = (_ONE_TWICE - scales.view(torch.int32)).view(torch.float32)
    return (rows * inverse).to(E4M3), scales


def rounded_rows(rows: Tensor) -> Tensor:
    """What is left of the rows when they are quantized, in their own type."""
    codes, scales = quantize_rows(rows)
    return codes.to(rows.dtype) * scales.to(rows.dtype)
