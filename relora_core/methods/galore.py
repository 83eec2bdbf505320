"""GaLore (arXiv 2403.03507): full-rank weights with gradients projected to a low rank.

It is a baseline. The projection is in its optimizer (`relora_core.optim.galore`).
"""

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import Phase
from relora_core.lowrank.inject import find_targets
from relora_core.methods.full import Full
from relora_core.methods.method import Method
from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.parameter_groups import decay_groups
from relora_core.optim.timeline import Timeline
from relora_core.spec import OptimizerSpec, TrainSpec
from relora_core.spec.method import GaloreMethod


def build(_spec: TrainSpec, method: GaloreMethod, _timeline: Timeline) -> Method:
    return Galore(method)


class Galore(Full):
    def __init__(self, method: GaloreMethod) -> None:
        self.method = method

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:  # noqa: ARG002 # the layers are the same in all
        """Leave the layers unchanged. Raise `ModelError` early if the rank does not fit."""
        find_targets(model, self.method)

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        """Return AdamW with projected gradients for the targets."""
        projected = [module.weight for _, module in find_targets(model, self.method)]
        chosen = set(projected)
        others = [p for p in model.parameters() if p.requires_grad and p not in chosen]
        return GaloreAdamW(
            {
                "params": projected,
                "weight_decay": spec.weight_decay,
                "rank": self.method.rank,
                "update_projection_every": self.method.update_projection_every,
                "scale": self.method.scale,
            },
            decay_groups(others, spec),
            lr=spec.learning_rate,
            betas=spec.betas,
            eps=spec.eps,
        )
