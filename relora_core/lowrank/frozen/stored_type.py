"""What a way of storing W has to offer."""

from typing import Protocol

import torch
from torch import Tensor

Stored = tuple[Tensor, ...]  # each (rows, ...)


class StoredType(Protocol):
    """Each row of W is stored by itself, so that ranks may hold some of the rows each."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the stored tensors."""

    @property
    def residual_dtype(self) -> torch.dtype | None:
        """Holds the difference of the bits of W and of what is stored; None if that is zero."""

    def quantize(self, weight: Tensor) -> Stored:
        """The nearest that the type can hold; `weight` is (rows, d_in), fp32."""

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        """What is stored, rounded once to `dtype`: (rows, d_in or more), padded by columns."""

    def prepare(self, stored: Stored, /) -> Tensor | None:
        """What products would else make of W each time; None if they make nothing of it."""

    def multiplies_as_stored(self, stored: Stored, dtype: torch.dtype, /) -> bool:
        """Whether `linear` takes W as it is stored into a product with an x of this type."""

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        """x (..., d_in) times the transposed W, in the type of x: (..., rows).

        `stored` ends with what `prepare` has made, if it was asked.
        """

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        """x (..., d_in) times the transposed W + s B A: (..., rows); A (r, d_in), B (rows, r).

        It is computed in the type of x.
        """
