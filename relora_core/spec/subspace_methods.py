"""The methods that train every weight, with the moments of the targets in a subspace."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from relora_core.spec.part import Steps
from relora_core.spec.targets import Targets

Scale = Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"]


class SubspaceMethod(Targets):
    """Full-rank weights; Adam's moments of the targets are those of a projected gradient."""

    optimizers = ("adamw",)  # it has its own AdamW, with the moments in fp32
    fsdp_conflict = "projects whole gradients, which no rank has"
    update_projection_every: Steps = Field(
        default=200, description="Steps between two choices of the subspace: T in the papers."
    )
    scale: Scale = Field(
        default=0.25,
        description="Scale of the updates of the targets: alpha in the papers. `auto`: for each "
        "target the root of its smaller side / `rank`, with which a step moves it about as far as "
        "full-rank Adam does.",
    )

    def state_of_target(self, d_out: int, d_in: int) -> int:
        """Return the number of values in the projection and in both moments in its subspace."""
        smaller, larger = sorted((d_out, d_in))
        return self.rank * (smaller + 2 * larger)


class GaloreMethod(SubspaceMethod):
    """Gradients of the targets go through a subspace of singular vectors (arXiv 2403.03507)."""

    title = "GaLore"
    name: Literal["galore"] = Field(
        default="galore",
        description="Train every weight; project the gradients of the targets onto a subspace.",
    )
    projects_in_backward: ClassVar[bool] = False  # so that no whole gradients stand in memory


class GaloreWarmStart(GaloreMethod):
    """GaLore as the warm start of a low-rank method, whose peak memory it does not exceed."""

    projects_in_backward = True

    def gradient_of_target(self, d_out: int, d_in: int) -> int:
        """Return the number of values in a projected gradient."""
        return self.rank * max(d_out, d_in)


class FiraMethod(SubspaceMethod):
    """GaLore, and the gradient outside of the subspace in Adam's scale (arXiv 2410.01623)."""

    title = "Fira"
    name: Literal["fira"] = Field(
        default="fira",
        description="Train every weight; project the gradients of the targets as GaLore does, and "
        "use the rest of them in the scale of the projected part.",
    )


class ApolloMethod(SubspaceMethod):
    """Gradients of the targets are scaled as Adam scales them in a subspace (arXiv 2412.05270)."""

    title = "APOLLO"
    name: Literal["apollo"] = Field(
        default="apollo",
        description="Train every weight; scale the gradients of the targets as Adam scales them "
        "in a random subspace.",
    )
    scale: Scale = Field(
        default=1.0,
        description="Scale of the updates of the targets: alpha in the paper. `auto`: as for the "
        "methods above.",
    )
    granularity: Literal["channel", "tensor"] = Field(
        default="channel",
        description="What gets a scaling factor of its own: each channel of a target (an index of "
        "its larger side), or the whole target. APOLLO-Mini is `tensor` with `rank` 1 and a "
        "`scale` of 11.3.",
    )

    def state_of_target(self, d_out: int, d_in: int) -> int:
        """Return the number of values in both moments. The projection is drawn from a seed."""
        return 2 * self.rank * max(d_out, d_in)
