"""Training methods, by name; each takes only its own fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, create_model, field_validator

from relora_core.spec.accepted import was_accepted
from relora_core.spec.part import Spec, SpecWarning, Steps, Text

FrozenDtype = Literal["fp32", "bf16", "int8", "nf4", "fp8"]
Variant = Literal["auto", "branches", "merged"]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1, max_length=100)
]


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


OptimizerReset = Annotated[MagnitudeReset | RandomReset | ZeroReset, Field(discriminator="mode")]


class FullMethod(Spec):
    """Train every weight from the first step to the last."""

    name: Literal["full"] = Field(
        default="full", description="Train every weight from the first step to the last."
    )


class Targets(Spec):
    """Which layers a low-rank update belongs to, and how large it is."""

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


class Factors(Targets):
    """What every method has that trains the factors of (alpha / rank) B A."""

    alpha: float = Field(
        default=32.0, gt=0, le=1e9, description="The update is scaled by alpha / rank."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout on the input of the low-rank update."
    )
    trainable_scaling: bool = Field(
        default=False,
        description="Whether the scale of each layer's update is trained. It starts at "
        "alpha / rank.",
    )


class LowRank(Factors):
    """What every method has that trains W + (alpha / rank) B A with W frozen."""

    frozen_dtype: FrozenDtype = Field(
        default="bf16",
        description="How the frozen weight W is stored. What the type cannot hold is kept off the "
        "device, so that merges and exports are exact. `nf4` needs bitsandbytes. `int8` and `fp8` "
        "are fast where the device multiplies them; they round the input and the gradient to "
        "8 bits too.",
    )
    variant: Variant = Field(
        default="auto",
        description="How a layer is computed. `branches`: W x and B A x, then their sum. "
        "`merged`: W + B A first, then its product with x. `auto` takes the cheaper one for the "
        "layer's shape.",
    )
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Full-rank steps before the low-rank phase. Default: 0.",
    )
    warm_start_from: Text | None = Field(
        default=None,
        description="Weights to start the low-rank phase from, instead of `warm_start_steps`: a "
        "checkpoint, a merged model or the workdir of an earlier run, or the name or folder of a "
        "Hugging Face model. In the service also job://JOB_ID/FOLDER. Default: none.",
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
    """Train a smaller model with as many parameters as ReLoRA trains (arXiv 2307.05695, section 4).

    Rank and target modules are those of the ReLoRA run that it is compared with.
    """

    name: Literal["control"] = Field(
        default="control",
        description="Train a smaller full-rank model with as many parameters as ReLoRA trains.",
    )


class LowrankMethod(Factors):
    """W = (alpha / rank) B A from random factors (arXiv 2307.05695, table 1: LoRA)."""

    name: Literal["lowrank"] = Field(
        default="lowrank", description="Train W = (alpha / rank) B A from random factors."
    )


class GaloreMethod(Targets):
    """Full-rank weights; gradients of the targets go through a subspace (arXiv 2403.03507)."""

    name: Literal["galore"] = Field(
        default="galore",
        description="Train every weight; project the gradients of the targets onto a subspace.",
    )
    update_projection_every: Steps = Field(
        default=200, description="Steps between two choices of the subspace: T in the paper."
    )
    scale: float = Field(
        default=0.25,
        gt=0,
        le=1e6,
        description="Scale of the projected updates: alpha in the paper.",
    )


class LoraMethod(LowRank):
    """One low-rank update for the whole run (arXiv 2106.09685), warm-started if asked."""

    name: Literal["lora"] = Field(
        default="lora", description="Train one low-rank update for the whole run."
    )


class ReloraMethod(LowRank):
    """Low-rank updates in cycles, each merged into W at its end (arXiv 2307.05695)."""

    name: Literal["relora"] = Field(
        default="relora",
        description="Train low-rank updates in cycles and merge each into W at its end.",
    )
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Full-rank steps before the first cycle. Default: a quarter of the steps, at "
        "most 5000; 0 with `warm_start_from`.",
    )
    reset_every: Steps | None = Field(
        default=None,
        description="Steps between two restarts: one comes at each multiple of it after the warm "
        "start. Default: a quarter of the steps, at most 5000.",
    )
    optimizer_reset: OptimizerReset = Field(
        default=MagnitudeReset(),
        description="What a restart clears of the optimizer state of the factors.",
    )


_AnyMethod = FullMethod | ControlMethod | LowrankMethod | LoraMethod | ReloraMethod | GaloreMethod
_METHODS: dict[str, type[Spec]] = {
    method.model_fields["name"].default: method for method in get_args(_AnyMethod)
}
# The fields of all methods, each with its own type, bounds and validators.
_AllFields = create_model("_AllFields", __base__=tuple(reversed(_METHODS.values())))


def _check_and_ignore_fields_of_other_methods(value: object, info: ValidationInfo) -> object:
    """Let a comparison change `name` alone: what only another method knows is left out.

    It has to be right for that other method.
    """
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        return value
    others = _of_other_methods(value, value.get("name"))
    if not was_accepted(info):
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
    BeforeValidator(_check_and_ignore_fields_of_other_methods),
]


def ignored_fields(written: object, method: MethodSpec) -> tuple[SpecWarning, ...]:
    """Warn of the fields of a method as it was written that are not used."""
    if not isinstance(written, Mapping):
        return ()
    return tuple(
        SpecWarning(
            f"method.{key}", f"is ignored: it belongs to {_owners(key)}, not to {method.name}"
        )
        for key in _of_other_methods(written, method.name)
    )


def _owners(field: str) -> str:
    names = [name for name, method in _METHODS.items() if field in method.model_fields]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
