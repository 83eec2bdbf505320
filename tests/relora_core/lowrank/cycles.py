"""A model in the middle of a cycle."""

from torch import Tensor
from torch.optim import AdamW
from transformers import PreTrainedModel

from relora_core.lowrank.inject import inject
from relora_core.lowrank.restart import reinitialize
from relora_core.spec import ReloraMethod
from tests.relora_core.conftest import MakeModel


def begun(
    make_model: MakeModel, method: ReloraMethod, tokens: Tensor
) -> tuple[PreTrainedModel, AdamW]:
    """Return a model after three steps of its first cycle, and its optimizer."""
    model = make_model()
    inject(model, method)
    reinitialize(model, step=0, restart=0, seed=0)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model(tokens).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer
