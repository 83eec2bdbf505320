"""The interface of a stored type, a way to store the frozen weight W."""

from typing import Protocol

import torch
from torch import Tensor

Stored = tuple[Tensor, ...]  # each (rows, ...)


class StoredType(Protocol):
    """A way to store W. Each row is stored separately, so that each rank can hold some rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stored tensors."""

    @property
    def residual_dtype(self) -> torch.dtype | None:
        """The integer type for the bits of W minus the bits stored. None if that is always zero."""

    def quantize(self, weight: Tensor) -> Stored:
        """Return `weight` (rows, d_in), fp32, rounded to the nearest stored values."""

    def dequantize(self, stored: Stored, dtype: torch.dtype) -> Tensor:
        """Return the stored values, rounded once to `dtype`: (rows, d_in or more, if padded)."""

    def prepare(self, stored: Stored, /) -> Tensor | None:
        """Return what products would otherwise compute from W each time, or None if nothing."""

    def multiplies_as_stored(self, stored: Stored, dtype: torch.dtype, /) -> bool:
        """Return whether `linear` multiplies W as it is stored by an x of this type."""

    def linear(self, x: Tensor, stored: Stored) -> Tensor:
        """Return x (..., d_in) times the transposed W, in the type of x: (..., rows).

        If `prepare` returned a tensor, it is the last one of `stored`.
        """

    def merged(self, x: Tensor, a: Tensor, b: Tensor, stored: Stored, scale: float) -> Tensor:
        """Return x (..., d_in) times the transposed W + s B A, in the type of x: (..., rows).

        Shapes: A (r, d_in); B (rows, r).
        """
