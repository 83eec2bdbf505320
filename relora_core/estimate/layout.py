"""Which parameters a phase trains, which it freezes, and how they are stored."""

import fnmatch
from dataclasses import dataclass
from typing import assert_never

from relora_core.errors import ModelError
from relora_core.shapes import Linear, ModelShape
from relora_core.spec import FullMethod, LoraMethod, LowRank, MethodSpec, ReloraMethod


@dataclass(frozen=True)
class Layout:
    """The parameters of a model in one phase, in elements.

    `trained` are fp32 with a gradient. `frozen` are the targets' weights, in the storage
    type; `still` are linear layers of the blocks that are no target: fp32, without a gradient.
    """

    shape: ModelShape
    targets: tuple[Linear, ...]
    rank: int
    trained: int
    frozen: int
    still: int

    @property
    def total(self) -> int:
        return self.trained + self.frozen + self.still


def full_rank(shape: ModelShape) -> Layout:
    return Layout(shape, targets=(), rank=0, trained=shape.parameters, frozen=0, still=0)


def low_rank(shape: ModelShape, method: LowRank) -> Layout:
    """As `relora_core.lowrank.inject` does it.

    Raises `ModelError` if the method fits no layer, or its rank does not fit one.
    """
    targets = tuple(linear for linear in shape.linears if _is_target(linear, method))
    _check(targets, method)
    frozen = sum(linear.weights for linear in targets)
    still = sum(
        linear.weights for linear in shape.linears if linear.in_block and linear not in targets
    )
    factors = sum(method.rank * (linear.d_out + linear.d_in) for linear in targets)
    untied = sum(linear.weights for linear in targets if not linear.tied)
    return Layout(
        shape,
        targets=targets,
        rank=method.rank,
        trained=shape.parameters - untied - still + factors,
        frozen=frozen,
        still=still,
    )


def layouts(shape: ModelShape, method: MethodSpec) -> tuple[Layout, Layout | None]:
    """Of the full-rank phase, and of the low-rank phase of a method that has one."""
    match method:
        case FullMethod():
            return full_rank(shape), None
        case LoraMethod() | ReloraMethod():
            return full_rank(shape), low_rank(shape, method)
        case _:
            assert_never(method)


def _is_target(linear: Linear, method: LowRank) -> bool:
    if method.target_modules == "all_linear":
        return linear.in_block
    return any(fnmatch.fnmatchcase(linear.name, pattern) for pattern in method.target_modules)


def _check(targets: tuple[Linear, ...], method: LowRank) -> None:
    if not targets:
        raise ModelError(f"method.target_modules {method.target_modules!r} matches no layer")
    for linear in targets:
        if method.rank > min(linear.d_out, linear.d_in):
            raise ModelError(
                f"method.rank {method.rank} is over the smaller side of {linear.name}, which is "
                f"{linear.d_out} x {linear.d_in}"
            )
