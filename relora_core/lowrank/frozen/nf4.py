"""W as 4-bit NormalFloat (QLoRA, arXiv 2305.14314, section 3), with bitsandbytes.

Each block of 64 numbers of a row has a scale, its largest magnitude. The last block of a row is
padded with zeros, so that no block contains numbers of two rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.lowrank.bitsandbytes_extra import require_bitsandbytes
from relora_core.lowrank.frozen.merged_product import register_merged
from relora_core.lowrank.frozen.product import register_dequantized
from relora_core.lowrank.frozen.stored_type import Stored

BLOCK = 64


class Nf4:
    names = ("codes", "scales")  # (rows, 32 blocks) uint8, two numbers a byte; (rows, blocks) fp32
    residual_dtype = torch.int32

    def __init__(self) -> None:
        require_bitsandbytes("method.frozen_dtype nf4", instead="int8")

    def quantize(self, weight: Tensor) -> Stored:
        rows, d_in = weight.shape
        padded = F.pad(weight, (0, -d_in % BLOCK))  # (rows, BLOCK * blocks)
        codes, scales = torch.ops.bitsandbytes.quantize_4bit(padded, BLOCK, "nf4", torch.uint8)
        return codes.view(rows, padded.shape[1] // 2), scales.view(rows, padded.shape[1] // BLOCK)

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        return _dequantize(stored, dtype)

    def prepare(self, _: Stored, /) -> None:
        return None

    def multiplies_as_stored(self, _: Stored, _dtype: torch.dtype, /) -> bool:
        return False

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        return _linear(x, *stored)

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        return _merged(x, a, b, list(stored), scale)


def _dequantize(stored: Stored, dtype: torch.dtype) -> Tensor:
    codes, scales = stored
    computed = dtype if dtype.itemsize <= 4 else torch.float32  # bitsandbytes has no fp64
    shape = (codes.shape[0], 2 * codes.shape[1])
    dense = torch.ops.bitsandbytes.dequantize_4bit(
        codes, scales.float(), BLOCK, "nf4", shape, computed
    )
    return dense.to(dtype)


_linear = register_dequantized("nf4", _dequantize)
_merged = register_merged("nf4", _dequantize)
