"""W as 8-bit floats (e4m3), with a power of two as the scale of each row of W.

The gradient of x is g W: there the rows' scales lie along the side that is summed over, where no
kernel takes them. Three ways out:

- one scale for all of W: the row with the largest number decides how many bits the others keep.
- a second quantization of W, with scales by columns: the gradient is then that of another function
  than the forward computed, and ranks that hold some of the rows each cannot make it.
- here: g W = (g S) C with S the scales and C the codes. S is multiplied into g before g is
  quantized, by powers of two, so without an error. Both directions use one C and one S.

The units want C by columns in backward, so a copy of the codes is turned once for each W, and
held: 2 bytes a weight, as in bf16. Ranks that hold some of the rows each turn them as they go.

Where there are no such units, x and g are rounded in the same way and multiplied in the type of
x by what W stands for: equal factors, another order of sums.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.frozen.e4m3 import E4M3, quantize_rows, rounded_rows
from relora_core.lowrank.frozen.merged_product import register_merged
from relora_core.lowrank.frozen.product import register_linear
from relora_core.lowrank.frozen.scaled_product import has_fp8_units, scaled_linear, turned
from relora_core.lowrank.frozen.stored_type import Stored


class Fp8:
    # (rows, d_in) uint8, the bits of e4m3: `Module.to(dtype)` leaves them, any backend sends them;
    # (rows, 1) fp32
    names = ("codes", "scales")
    residual_dtype = torch.int32

    def quantize(self, weight: Tensor) -> Stored:
        codes, scales = quantize_rows(weight)
        return codes.view(torch.uint8), scales

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        codes, scales = stored
        return (_numbers(codes, torch.float32) * scales).to(dtype)

    def prepare(self, stored: Stored, /) -> Tensor | None:
        return turned(stored[0]) if self.multiplies_as_stored(stored, torch.bfloat16) else None

    def multiplies_as_stored(self, stored: Stored, dtype: torch.dtype, /) -> bool:
        return dtype == torch.bfloat16 and has_fp8_units(stored[0].device)

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        codes, scales, *columns = stored
        if self.multiplies_as_stored(stored, x.dtype):
            return scaled_linear(x, codes, scales, *columns)
        return _linear(x, codes, scales)

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        return _merged(x, a, b, list(stored), scale)


def _product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    return F.linear(rounded_rows(x), Fp8().dequantize((codes, scales), x.dtype))


def _gradient(grad: Tensor, codes: Tensor, scales: Tensor, _d_in: int) -> Tensor:
    return rounded_rows(grad * scales.T.to(grad.dtype)) @ _numbers(codes, grad.dtype)


def _numbers(codes: Tensor, dtype: torch.dtype) -> Tensor:
    return codes.view(E4M3).to(dtype)


_linear = register_linear("fp8", _product, _gradient)
_merged = register_merged("fp8", Fp8().dequantize)
