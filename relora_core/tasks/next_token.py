"""The objective of a language model: from tokens to the loss of the next tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import is_fsdp_model
from relora_core.models.attention import document_positions
from relora_core.tasks.head_loss import head_loss
from relora_core.tasks.token_loss import compiled_sum_of_cross_entropies, sum_of_cross_entropies


def next_token_objective(
    model: PreTrainedModel, *, compiled: bool, document_eos: int | None = None
) -> nn.Module:
    """Return a module (inputs, targets) -> sum of losses. Both arguments are (n, length).

    With `document_eos`, the id that ends a document, positions restart at each document.

    Head and loss are computed in chunks if the model's logits are its head applied to its last
    hidden state. Otherwise all logits are computed at once, as some families scale or cap them.
    """
    if is_fsdp_model(model):
        if _logits_are_the_head_s(model):
            return _InChunksWithin(model, compiled=compiled, document_eos=document_eos)
    elif _head_makes_the_logits(model):
        return _InChunks(model, compiled=compiled, document_eos=document_eos)
    return _AllAtOnce(model, compiled=compiled, document_eos=document_eos)


class _Objective(nn.Module):
    def __init__(self, model: PreTrainedModel, *, compiled: bool, document_eos: int | None) -> None:
        super().__init__()
        self.model = model
        self.compiled = compiled
        self.document_eos = document_eos

    def arguments(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the arguments of the model."""
        if self.document_eos is None:
            return {"input_ids": inputs}
        positions = document_positions(inputs, eos=self.document_eos)
        return {"input_ids": inputs, "position_ids": positions}


class _InChunks(_Objective):
    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = self.model.base_model(**self.arguments(inputs)).last_hidden_state  # (n, length, d)
        head = self.model.get_output_embeddings()
        return head_loss(hidden, head, targets, compiled=self.compiled)

    def compile(self, *arguments: Any, **keywords: Any) -> None:
        """Compile everything except the loss, which is compiled separately."""
        self.model.base_model.compile(*arguments, **keywords)


class _InChunksWithin(_Objective):
    """The same within the model's forward pass, because a sharded one gathers its head only there.

    The loss takes the place of the head's output, which the model returns as it is.
    """

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        head = self.model.get_output_embeddings()

        def loss_of_head(hidden: Tensor) -> Tensor:
            return head_loss(hidden, head, targets, compiled=self.compiled)

        head.forward = loss_of_head
        try:
            loss: Tensor = self.model(**self.arguments(inputs)).logits
        finally:
            del head.forward
        return loss


class _AllAtOnce(_Objective):
    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        score = compiled_sum_of_cross_entropies if self.compiled else sum_of_cross_entropies
        return score(self.model(**self.arguments(inputs)).logits, targets)

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
    with _two_tokens(model, head) as tokens:
        hidden = model.base_model(input_ids=tokens).last_hidden_state
        logits = model(input_ids=tokens).logits
        return bool(logits.any()) and torch.equal(head(hidden), logits)


@torch.no_grad()
def _logits_are_the_head_s(model: PreTrainedModel) -> bool:
    """Return whether the model returns the output of its head as logits, also if it is sharded."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        return False
    outputs: list[Tensor] = []
    hook = head.register_forward_hook(lambda _head, _input, output: outputs.append(output))
    try:
        # weights may be gathered in bf16, which only autocast takes
        with _two_tokens(model, head) as tokens, torch.autocast(tokens.device.type, torch.bfloat16):
            logits = model(input_ids=tokens).logits
    finally:
        hook.remove()
    return (
        len(outputs) == 1
        and bool(logits.any())
        and torch.equal(outputs[0].to(logits.dtype), logits)
    )


@contextmanager
def _two_tokens(model: PreTrainedModel, head: nn.Linear) -> Iterator[Tensor]:
    """Evaluate the model on two tokens (1, 2)."""
    # the last two ids, because the first may be padding, which some families embed as zero
    tokens = torch.arange(-2, 0, device=model.device)[None] + head.out_features
    was_training = model.training
    model.eval()
    try:
        # eager, because a model from the phase before is compiled: kernels for two tokens are waste
        with torch.compiler.set_stance("force_eager"):
            yield tokens
    finally:
        model.train(was_training)
