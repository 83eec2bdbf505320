"""x W' with W in 8 bits, multiplied as it is stored: forward, and for the gradient of x.

x and the gradient are quantized in each product, by rows, and W never is dense here. (SwitchBack,
arXiv 2304.13013, does so for weights that are trained, and their gradient in 16 bits.)

The operators are plain ones, not opaque to torch.compile: quantizing x is four passes over it
unless it is fused with what made x, and layers with the same x share it.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.spec import FrozenDtype


class Numbers(Protocol):
    """Numbers in 8 bits: how rows are rounded to them, and the units that multiply them."""

    @property
    def name(self) -> FrozenDtype: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def held(self) -> torch.dtype:
        """The type in which a parameter holds their bits."""

    def quantize_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest numbers to rows / scale, and the scales: (..., n), and (..., 1) in fp32."""

    def has_tensor_cores(self, device: torch.device, dtype: torch.dtype, /) -> bool:
        """Whether `multiply` is fast on the device, and gives results of this type."""

    def side(self, device: torch.device, /) -> int:
        """Divides the sides of factors, but for the number of tokens."""

    def by_columns(self, device: torch.device, /) -> bool:
        """Whether the units take a right factor by columns alone."""

    def multiply(
        self,
        left: Tensor,
        left_scales: Tensor,
        right: Tensor,
        right_scales: Tensor | None,
        *,
        dtype: torch.dtype,
    ) -> Tensor:
        """left (m, k) times the transposed right (n, k), and the scales (m, 1) and (n, 1).

        A gradient is a product with a right factor that has no scales.
        """


# (x, codes, scales, columns) -> x W'
ScaledLinear = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def scaled_linear(numbers: Numbers) -> ScaledLinear:
    """x (..., d_in) times the transposed W: (..., d_out), in the type of x.

    codes (d_out, d_in), the bits of W / scales; scales (d_out, 1); columns as `turned` makes
    them. Where there are none, backward turns the codes for itself.
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
    """By columns, and with zeros up to sides that the units take."""
    columns = _filled_up(codes.T, numbers.side(codes.device))
    return columns.contiguous() if numbers.by_columns(codes.device) else columns


def product(numbers: Numbers, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    right = _filled_up(codes, numbers.side(codes.device))
    n = scales.shape[0]
    if right.shape[0] > n:
        scales = F.pad(scales, (0, 0, 0, right.shape[0] - n))
    return _times_rows(numbers, x, right, scales, dtype=x.dtype).narrow(-1, 0, n)  # (..., d_out)


def gradient(numbers: Numbers, grad: Tensor, columns: Tensor, scales: Tensor, d_in: int) -> Tensor:
    """g W = (g S) C, with S the scales of the rows of W and C its codes: (..., d_in)."""
    scaled = grad * scales.T  # in fp32, or wider
    return _times_rows(numbers, scaled, columns, None, dtype=grad.dtype).narrow(-1, 0, d_in)


def _times_rows(
    numbers: Numbers, left: Tensor, right: Tensor, scales: Tensor | None, *, dtype: torch.dtype
) -> Tensor:
    """left (..., k) times the transposed right, whose sides may be filled up, and its scales."""
    k, columns = left.shape[-1], right.shape[1]
    flat = F.pad(left.reshape(-1, k), (0, columns - k)) if columns > k else left.reshape(-1, k)
    codes, left_scales = numbers.quantize_rows(flat)
    result = numbers.multiply(codes.contiguous(), left_scales, right, scales, dtype=dtype)
    return result.view(*left.shape[:-1], right.shape[0])


def _filled_up(codes: Tensor, divisor: int) -> Tensor:
    """A copy with zeros, where a side needs them: a copy of bytes, short beside the product."""
    rows, columns = (-side % divisor for side in codes.shape)
    return F.pad(codes, (0, columns, 0, rows)) if rows or columns else codes
