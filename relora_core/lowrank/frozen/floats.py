"""W as floating-point numbers, fp32 or bf16."""

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.frozen.merged_product import register_merged
from relora_core.lowrank.frozen.stored_type import Stored

_HALF_OF_THE_LAST_BIT = 0x8000  # of a bf16, in the bits of the fp32 that has the same value


class Fp32:
    names = ("stored",)
    residual_dtype: torch.dtype | None = None

    def quantize(self, weight: Tensor) -> Stored:
        return (weight,)

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        return stored[0].to(dtype)

    def prepare(self, _: Stored, /) -> None:
        return None

    def multiplies_as_stored(self, _: Stored, _dtype: torch.dtype, /) -> bool:
        return False

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        return F.linear(x, stored[0].to(x.dtype))

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        return _merged(x, a, b, list(stored), scale)


class Bf16(Fp32):
    """W in bf16. A bf16 is the upper half of the bits of an fp32: the residual fits into 16 bits.

    Ties are rounded up in magnitude. If they were rounded to even, the residual could be 2^15,
    which is one too large for int16.
    """

    residual_dtype = torch.int16

    def quantize(self, weight: Tensor) -> Stored:
        bits = weight.view(torch.int32) + _HALF_OF_THE_LAST_BIT
        return ((bits >> 16).to(torch.int16).view(torch.bfloat16),)


_merged = register_merged("float", Fp32().dequantize)
