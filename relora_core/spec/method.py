"""Training methods, by name; each takes only its own fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, create_model, field_validator

from relora_core.spec.part import Remark, Spec, Steps, Text

FrozenDtype = Literal["fp32", "bf16", "int8", "nf4", "fp8"]
Variant = Literal["auto", "branches", "merged"]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)
]


class MagnitudeReset(Spec):
    """Keep the entries with the largest first moment (arXiv 2307.05695, section 3)."""

    mode: Literal["magnitude"] = "magnitude"
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class RandomReset(Spec):
    """Keep a random part of the entries."""

    mode: Literal["random"] = "random"
    ratio: float = Field(default=0.9, gt=0, lt=1, description="Share of the state that is cleared.")


class ZeroReset(Spec):
    """Clear both moments and the step count."""

    mode: Literal["zero"] = "zero"


OptimizerReset = Annotated[MagnitudeReset | RandomReset | ZeroReset, Field(discriminator="mode")]


class FullMethod(Spec):
    """Every weight is trained, from the first step to the last."""

    name: Literal["full"] = "full"


class Targets(Spec):
    """Which layers a low-rank update belongs to, and how large it is."""

    rank: int = Field(default=128, ge=1, le=10**6)
    target_modules: Literal["all_linear"] | Patterns = Field(
        default="all_linear",
        description="Every linear layer of the transformer blocks, or patterns of their names, "
        "such as `*.q_proj`.",
    )


class Factors(Targets):
    """What every method has that trains the factors of (alpha / rank) B A."""

    alpha: float = Field(
        default=32.0, gt=0, le=1e9, description="The update is scaled by alpha / rank."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="On the input of the update.")
    trainable_scaling: bool = Field(
        default=False,
        description="Train the scale of each layer's update; it starts at alpha / rank.",
    )


class LowRank(Factors):
    """What every method has that trains W + (alpha / rank) B A with W frozen."""

    frozen_dtype: FrozenDtype = Field(
        default="bf16",
        description="How W is stored; what that cannot hold is kept off the device, so that merges "
        "and exports are exact. `nf4` needs bitsandbytes. `int8` and `fp8` are fast where the "
        "device multiplies them, and round x and the gradient to 8 bits too.",
    )
    variant: Variant = Field(
        default="auto",
        description="How a layer is computed: W x and B A x apart (`branches`), or (W + B A) x "
        "with the sum formed first (`merged`); `auto` takes what is cheaper for its shape.",
    )
    warm_start_steps: int | None = Field(default=None, ge=0, le=10**9)
    warm_start_from: Text | None = Field(
        default=None,
        description="Instead of warm_start_steps: weights of an earlier run (a checkpoint, a "
        "merged model or a workdir) or of a Hugging Face model, by name or folder; in the service "
        "also job://JOB_ID/FOLDER.",
    )

    @field_validator("warm_start_from")
    @classmethod
    def _no_other_scheme(cls, source: str | None) -> str | None:
        scheme, separator, _ = (source or "").partition("://")
        if separator and scheme not in {"file", "job"}:
            raise ValueError(
                f"the trainer reads no {scheme}:// ({source!r}); copy the files to the node and "
                "give their folder"
            )
        return source


class ControlMethod(Targets):
    """A full-rank model with as many parameters as ReLoRA trains (arXiv 2307.05695, section 4).

    Rank and target modules are those of the ReLoRA run that it is the control of.
    """

    name: Literal["control"] = "control"


class LowrankMethod(Factors):
    """W = (alpha / rank) B A from random factors (arXiv 2307.05695, table 1: LoRA)."""

    name: Literal["lowrank"] = "lowrank"


class GaloreMethod(Targets):
    """Full-rank weights; gradients of the targets go through a subspace (arXiv 2403.03507)."""

    name: Literal["galore"] = "galore"
    update_projection_every: Steps = Field(
        default=200, description="Steps between two choices of the subspace; the paper's T."
    )
    scale: float = Field(
        default=0.25, gt=0, le=1e6, description="Of the projected updates; the paper's alpha."
    )


class LoraMethod(LowRank):
    """One low-rank update for the whole run (arXiv 2106.09685), warm-started if asked."""

    name: Literal["lora"] = "lora"
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Full-rank steps before the low-rank phase; default 0.",
    )


class ReloraMethod(LowRank):
    """Low-rank updates in cycles, each merged into W at its end (arXiv 2307.05695)."""

    name: Literal["relora"] = "relora"
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Full-rank steps before the first cycle; default 5000 or a quarter of the "
        "steps, whichever is smaller.",
    )
    reset_every: Steps | None = Field(
        default=None,
        description="A restart comes before each later multiple of this step; default 5000 or a "
        "quarter of the steps, whichever is smaller.",
    )
    optimizer_reset: OptimizerReset = MagnitudeReset()


_AnyMethod = FullMethod | ControlMethod | LowrankMethod | LoraMethod | ReloraMethod | GaloreMethod
_METHODS: dict[str, type[Spec]] = {
    method.model_fields["name"].default: method for method in get_args(_AnyMethod)
}
# The fields of all methods, each with its own type, bounds and validators.
_AllFields = create_model("_AllFields", __base__=tuple(reversed(_METHODS.values())))


def _check_and_set_aside_fields_of_other_methods(value: object) -> object:
    """Let a comparison change `name` alone: what only another method knows is left out.

    It has to be right for that other method.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        return value
    others = _of_other_methods(value, value.get("name"))
    _AllFields.model_validate(others)  # the errors that it raises become those of the method
    return {key: item for key, item in value.items() if key not in others}


def _of_other_methods(written: Mapping[str, Any], name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _METHODS:
        return {}
    own, known = _METHODS[name].model_fields, _AllFields.model_fields
    return {key: item for key, item in written.items() if key in known and key not in own}


MethodSpec = Annotated[
    _AnyMethod,
    Field(discriminator="name"),
    BeforeValidator(_check_and_set_aside_fields_of_other_methods),
]


def set_aside(written: object, method: MethodSpec) -> tuple[Remark, ...]:
    """What was left out of a method as it was written, and why."""
    if not isinstance(written, Mapping):
        return ()
    return tuple(
        Remark(f"method.{key}", f"is set aside: it belongs to {_owners(key)}, not to {method.name}")
        for key in _of_other_methods(written, method.name)
    )


def _owners(field: str) -> str:
    names = [name for name, method in _METHODS.items() if field in method.model_fields]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
