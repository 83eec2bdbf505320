"""One interface to the Adam state of a parameter, for every optimizer.

torch's AdamW keeps fp32 moments and a step count in a tensor. AdamW of bitsandbytes
(arXiv 2110.02861) keeps its step count as a number, and the moments of tensors of at least
4096 elements in 8 bits. There, each element has a code, an index into a map of 256 values in
[-1, 1]; its value is the map's value times the largest magnitude of its block. Code 0 does not
mean zero: in the signed map it stands for -0.993 times that magnitude.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from relora_core.distributed.dtensor import distribute_like, full_tensor, to_local

_BLOCK = 256  # elements that share a magnitude, in bitsandbytes' optimizers


class Moment(Protocol):
    """A first or second moment. All methods edit it in place."""

    def values(self) -> Tensor:
        """Return the values, in fp32 and of the parameter's shape."""

    def prune(self, keep: Tensor, *, scale: float) -> None:
        """Scale the entries that the mask keeps, and set the others to exactly zero."""

    def clear(self) -> None:
        """Set all entries to zero, as before the first gradient."""


@dataclass(frozen=True)
class PlainMoment:
    """A moment in a floating-point tensor, which may be sharded."""

    tensor: Tensor

    def values(self) -> Tensor:
        return full_tensor(self.tensor)

    def prune(self, keep: Tensor, *, scale: float) -> None:
        to_local(self.tensor).mul_(scale).masked_fill_(
            ~to_local(distribute_like(keep, like=self.tensor)), 0
        )

    def clear(self) -> None:
        self.tensor.zero_()

    def set(self, values: Tensor) -> None:
        """Replace all values. They have the parameter's whole shape."""
        to_local(self.tensor).copy_(to_local(distribute_like(values, like=self.tensor)))


@dataclass(frozen=True)
class CodedMoment:
    """A moment in 8 bits: the value of element i is map[codes[i]] * magnitudes[i // 256].

    Edits do not round again: a kept element keeps its code and only the magnitudes are scaled; a
    cleared element gets the code of zero. Quantizing again would not work, because on a CPU
    bitsandbytes 0.50 rounds a zero to the code of 2.1e-5.
    """

    codes: Tensor  # uint8, of the parameter's shape
    magnitudes: Tensor  # fp32, (blocks,)
    map: Tensor  # fp32, (256,), ascending

    def values(self) -> Tensor:
        relative = self.map[self.codes.flatten().int()]  # (n,)
        magnitudes = self.magnitudes.repeat_interleave(_BLOCK)[: relative.numel()]
        return (relative * magnitudes).view_as(self.codes)

    def prune(self, keep: Tensor, *, scale: float) -> None:
        self.codes.masked_fill_(~keep, self._zero())
        self.magnitudes.mul_(scale)

    def clear(self) -> None:
        self.codes.fill_(self._zero())
        self.magnitudes.zero_()

    def _zero(self) -> int:
        return int(self.map.abs().argmin())


class AdamState:
    """Both moments and the step count of one parameter. Changes are made in place."""

    def __init__(self, state: dict[str, Any]) -> None:
        """Read `state`, the parameter's entry in the optimizer after at least one step."""
        self._state = state
        self.first, self.second = _moments(state)

    @property
    def step(self) -> int:
        return int(self._state["step"])

    @step.setter
    def step(self, step: int) -> None:
        if isinstance(self._state["step"], Tensor):
            self._state["step"].fill_(step)
        else:
            self._state["step"] = step


def _moments(state: dict[str, Any]) -> tuple[Moment, Moment]:
    if "exp_avg" in state:
        return PlainMoment(state["exp_avg"]), PlainMoment(state["exp_avg_sq"])
    if "qmap1" not in state:
        return PlainMoment(state["state1"]), PlainMoment(state["state2"])
    return (
        CodedMoment(state["state1"], state["absmax1"], state["qmap1"]),
        CodedMoment(state["state2"], state["absmax2"], state["qmap2"]),
    )
