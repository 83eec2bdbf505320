"""Compute x W' and the gradient of x, with W in 8 bits and multiplied as it is stored.

x and the gradient are quantized row by row in each product, and W is never dense here.
(SwitchBack, arXiv 2304.13013, does the same for trained weights, with their gradient in 16 bits.)

The operators are not opaque to torch.compile. So it can fuse the quantization of x, which is four
passes over x otherwise, with the computation of x, and layers with the same x share it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.spec import FrozenDtype


class Numbers(Protocol):
    """A type of 8-bit numbers: how to quantize rows to it, and how to multiply them."""

    @property
    def name(self) -> FrozenDtype: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def storage_dtype(self) -> torch.dtype:
        """The torch type in which a parameter holds the bits."""

    def quantize_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers nearest to rows / scales, (..., n), and the fp32 scales, (..., 1)."""

    def has_fast_matmul(self, device: torch.device, dtype: torch.dtype, /) -> bool:
        """Return whether `multiply` is fast on the device and can return results of this type."""

    def alignment(self, device: torch.device, /) -> int:
        """Return the divisor that the factors' sides must have, except the number of tokens."""

    def needs_column_major(self, device: torch.device, /) -> bool:
        """Return whether the right factor must be column-major."""

    def multiply(
        self,
        left: Tensor,
        left_scales: Tensor,
        right: Tensor,
        right_scales: Tensor | None,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return left (m, k) times the transposed right (n, k), times the scales (m, 1) and (n, 1).

        `right_scales` is None in the product for a gradient.
        """


# (x, codes, scales, columns) -> x W'
ScaledLinear = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def scaled_linear(numbers: Numbers) -> ScaledLinear:
    """Return the function of x (..., d_in) times the transposed W: (..., d_out), in the type of x.

    Its arguments: codes (d_out, d_in), the bits of W / scales; scales (d_out, 1); columns, the
    result of `transposed`, or None. If it is None, backward transposes the codes itself.
    """

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x: Tensor, codes: Tensor, scales: Tensor, columns: Tensor | None
        ) -> Tensor:
            ctx.d_in = x.shape[-1]
            ctx.save_for_backward(codes, scales, columns)
            return product(numbers, x, codes, scales)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
            codes, scales, columns = ctx.saved_tensors
            columns = transposed(numbers, codes) if columns is None else columns
            return gradient(numbers, grad, columns, scales, ctx.d_in), None, None, None

    def linear(x: Tensor, codes: Tensor, scales: Tensor, columns: Tensor | None) -> Tensor:
        y: Tensor = Linear.apply(x, codes, scales, columns)  # type: ignore[no-untyped-call]
        return y

    return linear


def transposed(numbers: Numbers, codes: Tensor) -> Tensor:
    """Return the transposed codes, padded with zeros to sides that the hardware supports."""
    columns = _pad_to_multiple(codes.T, numbers.alignment(codes.device))
    return columns.contiguous() if numbers.needs_column_major(codes.device) else columns


def product(numbers: Numbers, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    right = _pad_to_multiple(codes, numbers.alignment(codes.device))
    n = scales.shape[0]
    if right.shape[0] > n:
        scales = F.pad(scales, (0, 0, 0, right.shape[0] - n))
    return _times_rows(numbers, x, right, scales, dtype=x.dtype).narrow(-1, 0, n)  # (..., d_out)


def gradient(numbers: Numbers, grad: Tensor, columns: Tensor, scales: Tensor, d_in: int) -> Tensor:
    """Return g W = (g S) C, (..., d_in), with S the scales of the rows of W and C its codes."""
    scaled = grad * scales.T  # in fp32, or wider
    return _times_rows(numbers, scaled, columns, None, dtype=grad.dtype).narrow(-1, 0, d_in)


def _times_rows(
    numbers: Numbers, left: Tensor, right: Tensor, scales: Tensor | None, *, dtype: torch.dtype
) -> Tensor:
    """Quantize left (..., k); return it times the transposed right, which may be padded."""
    k, columns = left.shape[-1], right.shape[1]
    flat = F.pad(left.reshape(-1, k), (0, columns - k)) if columns > k else left.reshape(-1, k)
    codes, left_scales = numbers.quantize_rows(flat)
    result = numbers.multiply(codes.contiguous(), left_scales, right, scales, dtype=dtype)
    return result.view(*left.shape[:-1], right.shape[0])


def _pad_to_multiple(codes: Tensor, divisor: int) -> Tensor:
    """Pad the sides with zeros to multiples of `divisor`. The copy is cheap beside the product."""
    rows, columns = (-side % divisor for side in codes.shape)
    return F.pad(codes, (0, columns, 0, rows)) if rows or columns else codes
