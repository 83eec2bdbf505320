"""Full-rank weights whose optimizer keeps the moments of the targets in subspaces: what is shared.

The baselines GaLore, Fira and APOLLO differ in their optimizers.
"""

from typing import Any

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import Phase
from relora_core.lowrank.inject import find_targets
from relora_core.methods.full import Full
from relora_core.optim.parameter_groups import decay_groups
from relora_core.optim.subspace import SubspaceAdamW
from relora_core.spec import OptimizerSpec
from relora_core.spec.subspace_methods import SubspaceMethod


class Subspace(Full):
    """Full-rank training with one of the optimizers of `relora_core.optim.subspace`."""

    def __init__(
        self, method: SubspaceMethod, optimizer_class: type[SubspaceAdamW], **settings: Any
    ) -> None:
        """Train with `optimizer_class`, whose group of targets also gets `settings`."""
        self.method = method
        self.optimizer_class = optimizer_class
        self.settings = settings

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:  # noqa: ARG002 # the layers are the same in all
        """Leave the layers unchanged. Raise `ModelError` early if the rank does not fit."""
        find_targets(model, self.method)

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        """Return AdamW, with the moments of the targets in subspaces."""
        projected = [module.weight for _, module in find_targets(model, self.method)]
        chosen = set(projected)
        others = [p for p in model.parameters() if p.requires_grad and p not in chosen]
        return self.optimizer_class(
            {
                "params": projected,
                "weight_decay": spec.weight_decay,
                "rank": self.method.rank,
                "update_projection_every": self.method.update_projection_every,
                "scale": self.method.scale,
                **self.settings,
            },
            decay_groups(others, spec),
            lr=spec.learning_rate,
            betas=spec.betas,
            eps=spec.eps,
        )
