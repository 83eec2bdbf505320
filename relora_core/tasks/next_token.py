"""The objective of a language model: from tokens to the loss of the next tokens."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import is_fsdp_model
from relora_core.tasks.head_loss import head_loss
from relora_core.tasks.token_loss import compiled_sum_of_cross_entropies, sum_of_cross_entropies


def next_token_objective(model: PreTrainedModel, *, compiled: bool) -> nn.Module:
    """Return a module (inputs, targets) -> sum of losses. Both arguments are (n, length).

    Head and loss are computed in chunks if the model's logits are its head applied to its last
    hidden state. Otherwise all logits are computed at once: some families scale or cap the logits,
    and a sharded model gathers its head only within its own forward pass.
    """
    if not is_fsdp_model(model) and _head_makes_the_logits(model):
        return _InChunks(model, compiled=compiled)
    return _AllAtOnce(model, compiled=compiled)


class _InChunks(nn.Module):
    def __init__(self, model: PreTrainedModel, *, compiled: bool) -> None:
        super().__init__()
        self.model = model
        self.compiled = compiled

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = self.model.base_model(input_ids=inputs).last_hidden_state  # (n, length, d)
        head = self.model.get_output_embeddings()
        return head_loss(hidden, head, targets, compiled=self.compiled)

    def compile(self, *arguments: Any, **keywords: Any) -> None:
        """Compile everything except the loss, which is compiled separately."""
        self.model.base_model.compile(*arguments, **keywords)


class _AllAtOnce(nn.Module):
    def __init__(self, model: PreTrainedModel, *, compiled: bool) -> None:
        super().__init__()
        self.model = model
        self.score = compiled_sum_of_cross_entropies if compiled else sum_of_cross_entropies

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.score(self.model(input_ids=inputs).logits, targets)

    def compile(self, *arguments: Any, **keywords: Any) -> None:
        self.model.compile(*arguments, **keywords)


@torch.no_grad()
def _head_makes_the_logits(model: PreTrainedModel) -> bool:
    """Return whether the logits are the head applied to the last hidden state.

    Try it on two tokens, because no field of a config says it for all families.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    # the last two ids, because the first may be padding, which some families embed as zero
    tokens = torch.arange(-2, 0, device=model.device)[None] + head.out_features  # (1, 2)
    was_training = model.training
    model.eval()
    try:
        # eager, because a model from the phase before is compiled: kernels for two tokens are waste
        with torch.compiler.set_stance("force_eager"):
            hidden = model.base_model(input_ids=tokens).last_hidden_state
            logits = model(input_ids=tokens).logits
        return bool(logits.any()) and torch.equal(head(hidden), logits)
    finally:
        model.train(was_training)
