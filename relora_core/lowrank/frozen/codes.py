"""W as 8-bit codes with one scale for each row, multiplied as it is stored.

The gradient of x is g W. This product sums over the rows of W, and no kernel takes scales along
that side. There are three solutions:

- One scale for all of W. Then the row with the largest number decides how many bits the other
  rows keep.
- A second quantization of W with scales for columns. Then the gradient belongs to another function
  than the forward pass computed, and ranks that hold only some of the rows cannot compute it.
- The one used here: g W = (g S) C, with S the scales and C the codes. g is multiplied by S before
  it is quantized. Both directions use the same C and the same S.

If the hardware needs C column by column in backward, a transposed copy of the codes is made once
for each W and kept. Together they take 2 bytes a weight, as in bf16. Ranks that hold only some of
the rows transpose them each time instead.

If the hardware does not multiply 8-bit numbers, x and g are rounded in the same way, and the codes
are multiplied in the type of x. The factors are equal; only the order of the sums differs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.frozen.e4m3 import E4m3
from relora_core.lowrank.frozen.integers import Integers
from relora_core.lowrank.frozen.merged_product import register_merged
from relora_core.lowrank.frozen.product import register_linear
from relora_core.lowrank.frozen.scaled_product import Numbers, scaled_linear, transposed
from relora_core.lowrank.frozen.stored_type import Stored


class Codes:
    """The stored type of int8 and fp8: 8-bit codes and a scale for each row."""

    names = ("codes", "scales")  # (rows, d_in), the bits of `numbers`; (rows, 1) fp32
    residual_dtype = torch.int32

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self._scaled_linear = scaled_linear(numbers)
        self._emulated_linear = register_linear(numbers.name, self._product, self._gradient)
        self._merged = register_merged(numbers.name, self.dequantize)

    def quantize(self, weight: Tensor) -> Stored:
        codes, scales = self.numbers.quantize_rows(weight)
        return codes.view(self.numbers.storage_dtype), scales

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        codes, scales = stored
        return (self._as(torch.float32, codes) * scales).to(dtype)

    def prepare(self, stored: Stored, /) -> Tensor | None:
        codes, _ = stored
        column_major = self.numbers.needs_column_major(codes.device)
        if column_major and self.multiplies_as_stored(stored, torch.bfloat16):
            return transposed(self.numbers, codes)
        return None

    def multiplies_as_stored(self, stored: Stored, dtype: torch.dtype, /) -> bool:
        return self.numbers.has_fast_matmul(stored[0].device, dtype)

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        codes, scales, *columns = stored
        if self.multiplies_as_stored(stored, x.dtype):
            return self._scaled_linear(x, codes, scales, columns[0] if columns else None)
        return self._emulated_linear(x, codes, scales)

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        return self._merged(x, a, b, list(stored), scale)

    def _product(self, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        rounded, x_scales = self.numbers.quantize_rows(x)
        sums = F.linear(rounded.to(x.dtype), self._as(x.dtype, codes))
        return (sums * x_scales * scales.T).to(x.dtype)

    def _gradient(self, grad: Tensor, codes: Tensor, scales: Tensor, _d_in: int) -> Tensor:
        rounded, grad_scales = self.numbers.quantize_rows(grad * scales.T)
        sums = rounded.to(grad.dtype) @ self._as(grad.dtype, codes)
        return (sums * grad_scales).to(grad.dtype)

    def _as(self, dtype: torch.dtype, codes: Tensor) -> Tensor:
        return codes.view(self.numbers.dtype).to(dtype)


FP8 = Codes(E4m3())
INT8 = Codes(Integers())
