"""Rows as numbers in 8 bits, by plain arithmetic in float64."""

import torch
from torch import Tensor


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def e4m3_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded rows and their scales."""
    rows = rows.double()
    scales = 2 ** (rows.abs().amax(dim=-1, keepdim=True) / 448).log2().ceil()
    return _nearest_e4m3(rows / scales) * scales, scales


def integer_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded rows and their scales."""
    rows = rows.double()
    scales = rows.abs().amax(dim=-1, keepdim=True) / 127
    return (rows / scales).round() * scales, scales


def _nearest_e4m3(values: Tensor) -> Tensor:
    """Three bits after the leading one, ties to even; below 2^-6, multiples of 2^-9."""
    exponents = torch.frexp(values).exponent - 1
    steps = 2.0 ** (exponents.clamp(min=-6) - 3).double()
    return (values / steps).round() * steps
