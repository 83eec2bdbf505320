"""The optimizers by name: their fields and properties.

`docs/extending.md` says how to add one.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from relora_core.spec.part import Spec, by_name


class BaseOptimizer(Spec):
    """The fields and properties of optimizers like Adam, with two moments for each trained value.

    The defaults of the properties are right for most optimizers.
    """

    title: ClassVar[str]  # the name in a model card
    moment_bytes: ClassVar[int] = 4  # bytes of one value of a moment
    moments_of_matrices: ClassVar[int] = 2  # of the blocks; all other parameters have two
    needs_matrices: ClassVar[bool] = False  # it is pointless if the blocks are always frozen
    needs_bitsandbytes: ClassVar[bool] = False
    fsdp_conflict: ClassVar[str | None] = None  # why it cannot run under fsdp, if it cannot

    name: str
    learning_rate: float = Field(
        default=1.0e-3, gt=0, le=1e6, description="Peak learning rate of the full-rank phase."
    )
    low_rank_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Peak learning rate of the low-rank phase, for all that it trains. Default: "
        "twice `learning_rate`, or `learning_rate` with `factor_learning_rate`.",
    )
    factor_learning_rate: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] | None = Field(
        default=None,
        description="Peak learning rate of A and B alone; all else keeps `learning_rate` in the "
        "low-rank phase too. `auto`: in each layer, the one with which a step moves W as far as "
        "full-rank Adam does. Give this or `low_rank_learning_rate`. Default: that of the phase.",
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.95), description="Decay rates of the first and the second moment of Adam."
    )
    eps: float = Field(default=1.0e-8, gt=0, le=1, description="What Adam adds to the denominator.")
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Decoupled weight decay of the trained matrices. Norms and biases have none.",
    )


class AdamwOptimizer(BaseOptimizer):
    """AdamW (arXiv 1711.05101) and its learning rates."""

    title = "AdamW"
    name: Literal["adamw"] = Field(default="adamw", description="AdamW with moments in fp32.")


class Adamw8bitOptimizer(BaseOptimizer):
    """AdamW that keeps the moments of larger tensors in 8 bits (arXiv 2110.02861)."""

    title = "8-bit AdamW"
    moment_bytes = 1  # without the fp32 moments of small tensors and the scales of 256 values
    needs_bitsandbytes = True
    fsdp_conflict = "has state that cannot be divided by rows"
    name: Literal["adamw_8bit"] = Field(
        description="AdamW with the moments of larger tensors in 8 bits. It needs the extra "
        "`quantization`."
    )


class MuonOptimizer(BaseOptimizer):
    """Orthogonalized momentum for the matrices of the blocks, AdamW for all else."""

    title = "Muon"
    moments_of_matrices = 1
    needs_matrices = True
    fsdp_conflict = "orthogonalizes whole matrices, which no rank has"
    name: Literal["muon"] = Field(
        description="Muon for the weights of the linear layers of the blocks, AdamW for all else, "
        "also for A and B. Both have the same learning rate and weight decay.",
    )
    momentum: float = Field(
        default=0.95, ge=0, lt=1, description="Decay rate of the one moment of Muon."
    )


_AnyOptimizer = AdamwOptimizer | Adamw8bitOptimizer | MuonOptimizer
OPTIMIZERS: dict[str, type[BaseOptimizer]] = by_name(_AnyOptimizer)


def _named(value: object) -> object:
    """Add the name adamw if the optimizer has no name."""
    return {"name": "adamw", **value} if isinstance(value, Mapping) else value


OptimizerSpec = Annotated[_AnyOptimizer, Field(discriminator="name"), BeforeValidator(_named)]
