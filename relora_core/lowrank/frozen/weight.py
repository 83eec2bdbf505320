"""The frozen weight W as it is stored, and the residual that the stored type cannot hold.

In bf16, an update of a thousandth of W's size loses 78% of its entries to rounding; in 8 and 4
bits it loses nearly all. So the residual, the difference between the fp32 sum and the stored
value, is kept outside of the device's memory. It is the difference of the bits of both numbers, an
integer, so it is never rounded. It is added in the next merge and in every export. When a run
trains on a GPU, the residual is in pinned memory of the host. When it trains on a CPU, it is in a
file, because there the CPU's memory is the device's memory.

Of replicas, only the main rank keeps residuals. It sends W to the others after each change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self, assert_never

import torch
from torch import Tensor, nn

from relora_core.distributed.dtensor import from_local, to_local
from relora_core.distributed.world import World
from relora_core.lowrank.frozen.codes import FP8, INT8
from relora_core.lowrank.frozen.floats import Bf16, Fp32
from relora_core.lowrank.frozen.integers import check_sides, is_gpu
from relora_core.lowrank.frozen.nf4 import Nf4
from relora_core.lowrank.frozen.offload import offload_to_disk
from relora_core.lowrank.frozen.stored_type import Stored, StoredType
from relora_core.spec import FrozenDtype

_residuals_are_kept = ContextVar("residuals_are_kept", default=True)


def build_frozen(weight: Tensor, dtype: FrozenDtype) -> "FrozenWeight":
    """Return W (d_out, d_in), stored in the type of the spec.

    Raise `ModelError` if the type needs an optional library or a smaller W.
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
    """W (d_out, d_in), stored in `stored_type`. It gets no gradient.

    Each stored tensor is a parameter whose rows are the rows of W. If each rank holds some of the
    rows, it holds the same rows of the residual.
    """

    def __init__(self, weight: Tensor, stored_type: StoredType) -> None:
        super().__init__()
        self.d_out, self.d_in = weight.shape
        self.stored_type = stored_type
        self._read_residual: Callable[[], Tensor] | None = None
        self._replicas: World | None = None
        self.prepared: Tensor | None = None  # made from `stored`; not a buffer: DDP would send it
        weight = weight.detach().float().contiguous()
        for name, tensor in zip(stored_type.names, stored_type.quantize(weight), strict=True):
            # a copy, because in fp32 the stored tensor would be the given weight itself
            self.register_parameter(name, nn.Parameter(tensor.clone(), requires_grad=False))
        self._keep_residual(weight)

    @property
    def residual(self) -> Tensor | None:
        """The residual (d_out, d_in) of an integer type, on the CPU. Do not write to it."""
        return None if self._read_residual is None else self._read_residual()

    @residual.setter
    def residual(self, residual: Tensor) -> None:
        if is_gpu(self._stored()[0].device):
            pinned = residual.pin_memory()
            self._read_residual = lambda: pinned
        else:
            self._read_residual = offload_to_disk(residual)

    @property
    def keeps_residual(self) -> bool:
        """Whether this rank has to keep what the stored type cannot hold."""
        is_replica = self._replicas is not None and not self._replicas.is_main
        return self.stored_type.residual_dtype is not None and not is_replica

    def replicate(self, ranks: World) -> None:
        """Take W from the main rank after each change, as the ranks have replicas of it."""
        self._replicas = ranks
        if not self.keeps_residual:
            self._read_residual = None

    @property
    def shape(self) -> torch.Size:
        """The shape of W, also if this rank holds only some of the rows."""
        return torch.Size((self.d_out, self.d_in))

    def extra_repr(self) -> str:
        stored = self.named_parameters()
        return ", ".join(f"{name}: {tuple(each.shape)} {each.dtype}" for name, each in stored)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Move the stored tensors but keep their type, because the residual belongs to it."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        nn.Module._apply(self, move, recurse)
        if self.prepared is not None:
            self.prepare()
        return self

    def forward(self, dtype: torch.dtype) -> Tensor:
        """Return the dequantized W, (d_out, d_in), or this rank's rows of it if it is sharded."""
        return self.stored_type.dequantize(self._stored(), dtype)[:, : self.d_in]

    def linear(self, x: Tensor) -> Tensor:
        """Return x (..., d_in) times the transposed stored W, in the type of autocast or of x."""
        stored = self._stored() if self.prepared is None else (*self._stored(), self.prepared)
        return self.stored_type.linear(x.to(_compute_dtype(x)), stored)  # (..., d_out)

    def multiplies_as_stored(self, x: Tensor) -> bool:
        """Return whether `linear` multiplies W as it is stored by this x."""
        return self.stored_type.multiplies_as_stored(self._stored(), _compute_dtype(x))

    def merged(self, x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        """Return x (..., d_in) times the transposed W + s B A, in the type of autocast or of x.

        A (r, d_in) and B (d_out, r) get gradients.
        """
        return self.stored_type.merged(x.to(_compute_dtype(x)), a, b, self._stored(), scale)

    @torch.no_grad()
    def prepare(self) -> None:
        """Compute once what products would otherwise compute from W each time.

        Call it when W is unsharded and on its device, and again after each change of W.
        """
        self.prepared = self.stored_type.prepare(self._stored())

    @torch.no_grad()
    def exact(self) -> Tensor:
        """Return W without rounding, residual included: fp32, (d_out, d_in)."""
        return from_local(self._exact_rows(), like=self.get_parameter(self.stored_type.names[0]))

    @torch.no_grad()
    def add(self, update: Tensor) -> Tensor:
        """Add `update` (d_out, d_in) to W in fp32. Return the new W, or this rank's rows of it."""
        weight = self._exact_rows() + to_local(update).float()
        self.replace(weight)
        return weight

    @torch.no_grad()
    def replace(self, weight: Tensor) -> None:
        """Store another W, fp32 (d_out, d_in), or this rank's rows of it."""
        for mine, new in zip(self._stored(), self.stored_type.quantize(weight), strict=True):
            mine.copy_(new)
            if self._replicas is not None:
                self._replicas.copy_from_main(mine)
        if self.prepared is not None:
            self.prepare()
        self._keep_residual(weight)

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
        if self.keeps_residual and _residuals_are_kept.get() and not weight.is_meta:
            bits = weight.view(torch.int32) - self(torch.float32).view(torch.int32)
            residual = bits.to(dtype)
            if residual.is_cuda:
                # copied to pinned memory without a wait: the reader has to synchronize
                pinned = residual.to("cpu", non_blocking=True)
                self._read_residual = lambda: pinned
            else:
                self.residual = residual

    def _stored(self) -> Stored:
        return tuple(to_local(self.get_parameter(name)) for name in self.stored_type.names)


@contextmanager
def without_residuals() -> Iterator[None]:
    """Let new frozen weights keep no residual, for replicas that will take W from the main rank."""
    kept = _residuals_are_kept.set(False)
    try:
        yield
    finally:
        _residuals_are_kept.reset(kept)


def _compute_dtype(x: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
