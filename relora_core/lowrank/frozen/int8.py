"""W as 8-bit integers, symmetric, with one scale for each row of W."""

import torch
from torch import Tensor

from relora_core.lowrank.frozen.merged_product import register_merged
from relora_core.lowrank.frozen.product import register_dequantized
from relora_core.lowrank.frozen.stored_type import Stored

_LARGEST = 127  # -128 is left out: the codes of w and -w are opposite


class Int8:
    names = ("codes", "scales")  # (rows, d_in) int8; (rows, 1) fp32
    residual_dtype = torch.int32

    def quantize(self, weight: Tensor) -> Stored:
        scales = weight.abs().amax(dim=1, keepdim=True) / _LARGEST  # (rows, 1)
        # a row of zeros, or of numbers too small to divide, has the scale 0
        codes = torch.where(scales > 0, weight / scales, 0).round().clamp(-_LARGEST, _LARGEST)
        return codes.to(torch.int8), scales

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        codes, scales = stored
        return (codes * scales).to(dtype)

    def prepare(self, _: Stored, /) -> None:
        return None

    def multiplies_as_stored(self, _: Stored, _dtype: torch.dtype, /) -> bool:
        return False

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        return _linear(x, *stored)

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        return _merged(x, a, b, list(stored), scale)


_linear = register_dequantized("int8", Int8().dequantize)
_merged = register_merged("int8", Int8().dequantize)
