"""GaLore (arXiv 2403.03507): full-rank weights, gradients projected to a low rank; to compare with.

What it does is in its optimizer (`relora_core.optim.galore`).
"""

from transformers import PreTrainedModel

from relora_core.events import Phase
from relora_core.lowrank.inject import find_targets
from relora_core.methods.full import Full
from relora_core.spec import GaloreMethod


class Galore(Full):
    def __init__(self, method: GaloreMethod) -> None:
        self.method = method

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:  # noqa: ARG002 # the layers are the same in all
        """The layers stay as they are; a rank that does not fit is told before training."""
        find_targets(model, self.method)
