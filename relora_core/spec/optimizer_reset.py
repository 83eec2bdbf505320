"""What a restart clears of the optimizer state of the factors, by name."""

from typing import Annotated, Literal

from pydantic import Field

from relora_core.spec.part import Spec


class MagnitudeReset(Spec):
    """Keep the entries with the largest first moment (arXiv 2307.05695, section 3)."""

    mode: Literal["magnitude"] = Field(
        default="magnitude", description="Keep the entries with the largest first moment."
    )
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class RandomReset(Spec):
    """Keep a random part of the entries."""

    mode: Literal["random"] = Field(
        default="random", description="Keep a random part of the entries."
    )
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class ZeroReset(Spec):
    """Clear both moments and the step count."""

    mode: Literal["zero"] = Field(
        default="zero", description="Clear both moments and the step count."
    )


class KeepReset(Spec):
    """Keep all of the state."""

    mode: Literal["keep"] = Field(default="keep", description="Keep all of the state.")


class RotateReset(Spec):
    """Rotate the moments of B into the rows of the new A (arXiv 2410.16103, LDAdam)."""

    mode: Literal["rotate"] = Field(
        default="rotate",
        description="Rotate the moments of B into the rows of the new A and keep the step count. "
        "It needs rows of A that are orthonormal and stay so: `factor_init` orthogonal or "
        "gradient, and `train_a: false`.",
    )


OptimizerReset = Annotated[
    MagnitudeReset | RandomReset | ZeroReset | KeepReset | RotateReset,
    Field(discriminator="mode"),
]
