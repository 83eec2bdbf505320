"""Quantize rows to int8: integers in -127..127, with a scale for each row, its largest / 127.

-128 is not used, so that the codes of w and -w are opposite. All numbers of a row have the same
maximal error, half of the scale. So one very large number takes precision from the others.

A product of two rows of codes is an integer. If the device multiplies them, the sum is exact in
32 bits, and so it is the same on every device. Otherwise the same codes are multiplied as floats.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.errors import ModelError
from relora_core.spec import FrozenDtype

_LARGEST = 127
_SMALLEST = 2.0**-100  # the largest magnitude of a row counts as at least this: 127 / it is finite
_FIRST_WITH_INT8 = (7, 5)  # compute capability: Turing
# The limits of `torch._int_mm` on a GPU (torch 2.13, aten/src/ATen/native/cuda/Blas.cpp)
_GPU_ALIGNMENT = 8  # must divide both sides of the right factor
_GPU_MIN_ROWS = 17  # the least number of rows of the left factor

_LONGEST = (2**31 - 1) // _LARGEST**2  # the sum of more products could overflow 32 bits


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
def has_int8_matmul(device: torch.device) -> bool:
    """Return whether the device multiplies 8-bit integers and torch has the kernel for it.

    On a CPU without avx512_vnni, `torch._int_mm` is a plain loop and far slower than floats.
    """
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_vnni"))
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_WITH_INT8


def is_gpu(device: torch.device) -> bool:
    return device.type == "cuda"


def check_sides(weight: Tensor) -> None:
    """Raise `ModelError` if a side of W is so long that a sum over it could overflow 32 bits."""
    if max(weight.shape) > _LONGEST:
        raise ModelError(
            f"method.frozen_dtype int8 multiplies weights with sides of at most {_LONGEST}; "
            f"got {tuple(weight.shape)}: set it to bf16 or fp8, or leave the layer out of "
            "method.target_modules"
        )


class Integers:
    name: FrozenDtype = "int8"
    dtype = torch.int8
    storage_dtype = torch.int8

    def quantize_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows as int8, (..., n), and their scales, (..., 1).

        If a row is not finite, its scale is not finite.
        """
        largest = rows.abs().amax(dim=-1, keepdim=True).float().clamp(min=_SMALLEST)
        codes = (rows * (_LARGEST / largest)).round()  # in fp32, or wider
        return codes.to(torch.int8), largest / _LARGEST

    def has_fast_matmul(self, device: torch.device, _dtype: torch.dtype, /) -> bool:
        return has_int8_matmul(device)

    def alignment(self, device: torch.device) -> int:
        return _GPU_ALIGNMENT if is_gpu(device) else 1

    def needs_column_major(self, device: torch.device) -> bool:
        """Return whether the right factor must be column-major, as on a GPU.

        A CPU packs both layouts equally fast.
        """
        return is_gpu(device)

    def multiply(
        self,
        left: Tensor,
        left_scales: Tensor,
        right: Tensor,
        right_scales: Tensor | None,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        few = _GPU_MIN_ROWS - left.shape[0] if is_gpu(left.device) else 0
        enough = F.pad(left, (0, 0, 0, few)) if few > 0 else left
        sums = torch._int_mm(enough, right.T)[: left.shape[0]]  # (m, n) int32
        scaled = sums.to(torch.promote_types(dtype, torch.float32)) * left_scales
        return (scaled if right_scales is None else scaled * right_scales.T).to(dtype)
