"""W as it is stored, and what the stored type cannot hold.

In bf16, an update a thousandth of W's size loses 78% of its entries to rounding; in 8 and 4
bits, nearly all. So the difference between the fp32 sum and what is stored is kept off
the device, as the difference of the two numbers' bits: an integer, so nothing of it is ever
rounded away. It is carried into the next merge, and into every export. Training on a CPU, whose
memory is the device's, it waits for them in a file.
"""

from collections.abc import Callable
from typing import Self, assert_never

import torch
from torch import Tensor, nn

from relora_core.distributed.dtensor import from_local, to_local
from relora_core.lowrank.frozen.codes import FP8, INT8
from relora_core.lowrank.frozen.floats import Bf16, Fp32
from relora_core.lowrank.frozen.integers import check_sides
from relora_core.lowrank.frozen.nf4 import Nf4
from relora_core.lowrank.frozen.parked import park
from relora_core.lowrank.frozen.stored_type import Stored, StoredType
from relora_core.spec import FrozenDtype


def build_frozen(weight: Tensor, dtype: FrozenDtype) -> "FrozenWeight":
    """W (d_out, d_in), stored as the spec says.

    Raises `ModelError` if that needs an extra, or a smaller W.
    """
    match dtype:
        case "fp32":
            return FrozenWeight(weight, Fp32())
        case "bf16":
            return FrozenWeight(weight, Bf16())
        case "int8":
            check_sides(weight)
            return FrozenWeight(weight, INT8)
        case "nf4":
            return FrozenWeight(weight, Nf4())
        case "fp8":
            return FrozenWeight(weight, FP8)
        case _:
            assert_never(dtype)


class FrozenWeight(nn.Module):
    """W (d_out, d_in) as `stored_type` has it; no gradient reaches it.

    Whatever is stored is a parameter whose rows are W's rows. Each rank may hold some of them,
    and then the rows of the residual too.
    """

    def __init__(self, weight: Tensor, stored_type: StoredType) -> None:
        super().__init__()
        self.d_out, self.d_in = weight.shape
        self.stored_type = stored_type
        self._read_residual: Callable[[], Tensor] | None = None
        self.prepared: Tensor | None = None  # of what is stored; no buffer, which DDP would send
        weight = weight.detach().float().contiguous()
        for name, tensor in zip(stored_type.names, stored_type.quantize(weight), strict=True):
            # a copy of its own: in fp32, what is stored would be the given weight itself
            self.register_parameter(name, nn.Parameter(tensor.clone(), requires_grad=False))
        self._keep_residual(weight)

    @property
    def residual(self) -> Tensor | None:
        """(d_out, d_in), an integer type, on the CPU; not to be written to."""
        return None if self._read_residual is None else self._read_residual()

    @residual.setter
    def residual(self, residual: Tensor) -> None:
        self._read_residual = park(residual)

    def extra_repr(self) -> str:
        stored = self.named_parameters()
        return ", ".join(f"{name}: {tuple(each.shape)} {each.dtype}" for name, each in stored)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Move what is stored, but leave its type: the residual is the rest of just that."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        nn.Module._apply(self, move, recurse)
        if self.prepared is not None:
            self.prepare()
        return self

    def forward(self, dtype: torch.dtype) -> Tensor:
        """What is stored, dense, (d_out, d_in); of a weight in parts, the rows that are here."""
        return self.stored_type.dequantize(self._stored(), dtype)[:, : self.d_in]

    def linear(self, x: Tensor) -> Tensor:
        """x (..., d_in) times the transposed W as stored, in autocast's type or x's."""
        stored = self._stored() if self.prepared is None else (*self._stored(), self.prepared)
        return self.stored_type.linear(x.to(_compute_dtype(x)), stored)  # (..., d_out)

    def multiplies_as_stored(self, x: Tensor) -> bool:
        """Whether `linear` takes W into a product with this x as it is stored."""
        return self.stored_type.multiplies_as_stored(self._stored(), _compute_dtype(x))

    def merged(self, x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """x (..., d_in) times the transposed W + s B A, in autocast's type or x's.

        A (r, d_in) and B (d_out, r) get gradients.
        """
        return self.stored_type.merged(x.to(_compute_dtype(x)), a, b, self._stored(), scale)

    @torch.no_grad()
    def prepare(self) -> None:
        """Make once, and anew with each change of W, what products would else make each time.

        To be called where W is whole and on its device, and again after `stored` was written to.
        """
        self.prepared = self.stored_type.prepare(self._stored())

    @torch.no_grad()
    def exact(self) -> Tensor:
        """W with nothing rounded away, fp32, (d_out, d_in)."""
        return from_local(self._exact_rows(), like=self.get_parameter(self.stored_type.names[0]))

    @torch.no_grad()
    def add(self, update: Tensor) -> Tensor:
        """W += update, summed in fp32; `update` is (d_out, d_in). Return the rows that are here."""
        weight = self._exact_rows() + to_local(update).float()
        for mine, new in zip(self._stored(), self.stored_type.quantize(weight), strict=True):
            mine.copy_(new)
        if self.prepared is not None:
            self.prepare()
        self._keep_residual(weight)
        return weight

    def _exact_rows(self) -> Tensor:
        held = self(torch.float32)
        residual = self.residual
        if residual is None:
            return held
        there = residual.to(held.device, non_blocking=True)
        return (held.view(torch.int32) + there).view(torch.float32)

    @torch.no_grad()
    def _keep_residual(self, weight: Tensor) -> None:
        dtype = self.stored_type.residual_dtype
        if dtype is not None:
            bits = weight.view(torch.int32) - self(torch.float32).view(torch.int32)
            residual = bits.to(dtype)
            if residual.is_cuda:
                # into pinned memory, without a wait: who reads it there synchronizes
                pinned = residual.to("cpu", non_blocking=True)
                self._read_residual = lambda: pinned
            else:
                self.residual = residual

    def _stored(self) -> Stored:
        return tuple(to_local(self.get_parameter(name)) for name in self.stored_type.names)


def _compute_dtype(x: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
