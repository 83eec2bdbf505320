"""What all training methods have: the properties of a method, and the layers that it changes."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from relora_core.spec.part import Spec
from relora_core.spec.phases import Phases

Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)
]


class BaseMethod(Spec):
    """The properties of a method. The defaults are right for most methods."""

    title: ClassVar[str]  # the name in pictures and tables
    changes_shape: ClassVar[bool] = False  # it trains a model of another shape than the spec's
    takes_weights: ClassVar[bool] = True  # it can start from pretrained weights
    optimizers: ClassVar[tuple[str, ...] | None] = None  # the optimizers it works with; None: all
    fsdp_conflict: ClassVar[str | None] = None  # why it cannot run under fsdp, if it cannot

    def phases(self, total_steps: int) -> Phases:
        """Return the phases of a run of `total_steps`, and the steps between its restarts."""
        return Phases("full_rank", total_steps)


class Targets(BaseMethod):
    """The target layers of a method, and the rank of their updates."""

    rank: int = Field(
        default=128,
        ge=1,
        le=10**6,
        description="Rank of the update; at most the hidden size of the model.",
    )
    target_modules: Literal["all_linear"] | Patterns = Field(
        default="all_linear",
        description="The layers that get a low-rank update: all linear layers of the transformer "
        "blocks, or a list of patterns of their names, such as `*.q_proj`.",
    )

    def gradient_of_target(self, d_out: int, d_in: int) -> int:
        """Return the number of values in the gradient of a target trained in full."""
        return d_out * d_in

    def state_of_target(self, d_out: int, d_in: int) -> int:
        """Return the number of values in the optimizer state of a target trained in full."""
        return 2 * d_out * d_in
