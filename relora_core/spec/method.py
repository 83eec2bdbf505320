"""The training methods by name: their fields, and the properties that the rest of relora needs.

`docs/extending.md` says how to add one.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from relora_core.spec.accepted import was_accepted
from relora_core.spec.optimizer_reset import MagnitudeReset, OptimizerReset, ZeroReset
from relora_core.spec.part import SpecWarning, Steps, Text, by_name
from relora_core.spec.phases import Phases
from relora_core.spec.subspace_methods import (
    ApolloMethod,
    FiraMethod,
    GaloreMethod,
    GaloreWarmStart,
)
from relora_core.spec.targets import BaseMethod, Targets

FrozenDtype = Literal["fp32", "bf16", "int8", "nf4", "fp8"]
Variant = Literal["auto", "branches", "merged"]
FactorInit = Literal["random", "orthogonal", "gradient"]
Reset = Literal["whole", "half", "rolling"]
WarmStart = Literal["full", "galore", "apollo"]


class FullMethod(BaseMethod):
    """Train every weight from the first step to the last."""

    title = "Full rank"
    name: Literal["full"] = Field(
        default="full", description="Train every weight from the first step to the last."
    )


class Factors(Targets):
    """The fields of all methods that train the factors of (alpha / rank) B A."""

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
    """The fields of all methods that train W + (alpha / rank) B A with W frozen."""

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
    factor_init: FactorInit = Field(
        default="random",
        description="What A is at the switch to low rank and after each restart; B is zero. "
        "`random`: Kaiming-uniform. `orthogonal`: random orthonormal rows. `gradient`: the first "
        "right singular vectors of the gradient of W on the next four batches.",
    )
    train_a: bool = Field(
        default=True,
        description="Whether A is trained. If not, B alone is, and A has neither gradient nor "
        "optimizer state.",
    )
    warm_start_steps: int | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="Full-rank steps before the low-rank phase. Default: 0.",
    )
    warm_start: WarmStart = Field(
        default="full",
        description="How the warm start trains the targets. `full`: as the method full does. "
        "`galore`, `apollo`: as these methods do with this `rank`, so that the optimizer's state "
        "is small, with a `scale` of `auto`.",
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

    @property
    def warm_start_method(self) -> BaseMethod:
        """The full-rank method that trains the warm start."""
        targets = {"rank": self.rank, "target_modules": self.target_modules}
        match self.warm_start:
            case "full":
                return FullMethod()
            case "galore":
                return GaloreWarmStart(**targets, scale="auto")
            case "apollo":
                return ApolloMethod(**targets, scale="auto")
            case name:
                assert_never(name)

    def phases(self, total_steps: int) -> Phases:  # noqa: ARG002 # the same for each length
        """Return a warm start of `warm_start_steps`, then a low-rank phase."""
        return Phases("warm_start", self.warm_start_steps or 0)


class ControlMethod(Targets):
    """Train a smaller model with as many parameters as ReLoRA trains (arXiv 2307.05695, section 4).

    Rank and target modules are those of the ReLoRA run that it is compared with.
    """

    title = "Control"
    changes_shape = True
    takes_weights = False
    name: Literal["control"] = Field(
        default="control",
        description="Train a smaller full-rank model with as many parameters as ReLoRA trains.",
    )


class LowrankMethod(Factors):
    """W = (alpha / rank) B A from random factors (arXiv 2307.05695, table 1: LoRA)."""

    title = "Low rank"
    takes_weights = False  # there is no W to load them into
    optimizers = ("adamw", "adamw_8bit")  # another one would be for W
    name: Literal["lowrank"] = Field(
        default="lowrank", description="Train W = (alpha / rank) B A from random factors."
    )

    def phases(self, total_steps: int) -> Phases:  # noqa: ARG002 # the same for each length
        """Return the one low-rank phase."""
        return Phases("low_rank", 0)


class LoraMethod(LowRank):
    """One low-rank update for the whole run (arXiv 2106.09685), warm-started if asked."""

    title = "LoRA"
    name: Literal["lora"] = Field(
        default="lora", description="Train one low-rank update for the whole run."
    )


class ReloraMethod(LowRank):
    """Low-rank updates in cycles, each merged into W at its end (arXiv 2307.05695)."""

    title = "ReLoRA"
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
    reset_every: Steps | Literal["auto"] | None = Field(
        default=None,
        description="Steps between two restarts: one comes at each multiple of it after the warm "
        "start. `auto`: the run decides, when the update of a cycle stops gaining rank or the loss "
        "falls more slowly. Default: a quarter of the steps, at most 5000.",
    )
    shortest_cycle: Steps | None = Field(
        default=None,
        description="The fewest steps between two restarts with `reset_every: auto`. Default: a "
        "16th of the steps, at most 1250.",
    )
    longest_cycle: Steps | None = Field(
        default=None,
        description="The most steps between two restarts with `reset_every: auto`. Default: half "
        "of the steps, at most 10,000.",
    )
    reset_growth: float = Field(
        default=1.0,
        ge=1,
        le=100,
        description="Each cycle is this many times as long as the one before; the first has "
        "`reset_every` steps. A length is rounded to the nearest step. 1: all are equally long.",
    )
    reset: Reset = Field(
        default="whole",
        description="What a restart renews. `whole`: A and B. `half`: B and half of A; the other "
        "half of its rows become the directions that B A used most. `rolling`: one component of "
        "B A in turn, a column of B and its row of A. Then a restart comes each `reset_every` / "
        "`rank` steps, rounded up, and the learning rate does not warm up again.",
    )
    optimizer_reset: OptimizerReset = Field(
        default=MagnitudeReset(),
        description="What a restart clears of the optimizer state of the factors. Default: "
        "`magnitude`; with `reset: half` or `rolling` it is `zero`, for what is renewed.",
    )

    @model_validator(mode="before")
    @classmethod
    def _clear_what_is_renewed(cls, data: object) -> object:
        """Set the mode that `reset` half and rolling have, if the data name none."""
        if isinstance(data, Mapping) and data.get("reset") in {"half", "rolling"}:
            return {"optimizer_reset": ZeroReset(), **data}
        return data

    @property
    def rotation_conflict(self) -> str | None:
        """Why `optimizer_reset` cannot rotate moments, if it should and cannot."""
        if self.optimizer_reset.mode != "rotate":
            return None
        if self.factor_init != "random" and not self.train_a:
            return None
        return (
            "rotate needs rows of A that are orthonormal and stay so; set factor_init to "
            "orthogonal or gradient and train_a to false, or take another mode"
        )

    def phases(self, total_steps: int) -> Phases:
        """Return a warm start and a low-rank phase in cycles, the first of `reset_every` steps.

        The paper's values (arXiv 2307.05695, appendix A) are for runs of 20,000 steps. Shorter runs
        use the same shares of their steps.
        """
        share = min(5000, total_steps // 4)
        default = share if self.warm_start_from is None else 0
        steps = default if self.warm_start_steps is None else self.warm_start_steps
        if self.reset_every == "auto":
            shortest, longest = self._cycle_bounds(share)
            return Phases("warm_start", steps, shortest, longest_cycle=longest)
        return Phases(
            "warm_start",
            steps,
            self.reset_every or max(1, share),
            self.reset_growth,
            restarts_per_cycle=self.rank if self.reset == "rolling" else 1,
        )

    def _cycle_bounds(self, share: int) -> tuple[int, int]:
        """Return the fewest and the most steps of a cycle. `share` is the default `reset_every`."""
        shortest, longest = self.shortest_cycle, self.longest_cycle
        if shortest is None:
            shortest = max(1, min(share // 4, longest or share))
        return shortest, max(shortest, 2 * share) if longest is None else longest


_AnyMethod = (
    FullMethod
    | ControlMethod
    | LowrankMethod
    | LoraMethod
    | ReloraMethod
    | GaloreMethod
    | FiraMethod
    | ApolloMethod
)
METHODS: dict[str, type[BaseMethod]] = by_name(_AnyMethod)
if TYPE_CHECKING:
    MethodName = str  # a type checker cannot read the names from the union
else:
    MethodName = Literal[tuple(METHODS)]
# The fields of all methods, each with its own type, bounds and validators.
_AllFields = create_model("_AllFields", __base__=tuple(reversed(METHODS.values())))


def _check_and_ignore_fields_of_other_methods(value: object, info: ValidationInfo) -> object:
    """Drop the fields that only other methods have, so that a comparison can change `name` alone.

    The dropped fields still have to be valid for the other method.
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
    if not isinstance(name, str) or name not in METHODS:
        return {}
    own, known = METHODS[name].model_fields, _AllFields.model_fields
    return {key: item for key, item in written.items() if key in known and key not in own}


MethodSpec = Annotated[
    _AnyMethod,
    Field(discriminator="name"),
    BeforeValidator(_check_and_ignore_fields_of_other_methods),
]


def ignored_fields(written: object, method: MethodSpec) -> tuple[SpecWarning, ...]:
    """Return a warning for each field that was written but belongs to another method."""
    if not isinstance(written, Mapping):
        return ()
    return tuple(
        SpecWarning(
            f"method.{key}", f"is ignored: it belongs to {_owners(key)}, not to {method.name}"
        )
        for key in _of_other_methods(written, method.name)
    )


def _owners(field: str) -> str:
    return _listed(name for name, method in METHODS.items() if field in method.model_fields)


def names_of(kind: type[BaseMethod]) -> str:
    """Return the names of all methods of a kind as text: `lora and relora`."""
    return _listed(name for name, method in METHODS.items() if issubclass(method, kind))


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return " and ".join(filter(None, [", ".join(others), last]))
