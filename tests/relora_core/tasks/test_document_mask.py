"""Document masks: a change in one document changes nothing that is computed for another."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from relora_core.models.attention import document_positions, known_sequences
from relora_core.spec.model import MASK_DOCUMENTS
from relora_core.tasks.next_token import next_token_objective

EOS, LENGTH = 0, 24
FIRST = 9  # the length of the first document of each row
_SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
COMPILER_WARNS = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
)
_GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64}
OF_TYPE: dict[str, dict[str, Any]] = {"gpt2": {**_GPT2, "bos_token_id": 0, "eos_token_id": 0}}


def model_of(model_type: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **OF_TYPE.get(model_type, _SIZES))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.config.use_cache = False  # as in training
    return model.eval()


def rows() -> tuple[Tensor, Tensor]:
    """Return rows of two documents, and the same rows with another first document."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 64, (2, LENGTH), generator=generator)
    other = tokens.clone()
    other[:, :FIRST] = torch.randint(1, 64, (2, FIRST), generator=generator)
    for each in (tokens, other):
        each[:, FIRST] = EOS
    return tokens, other


def logits(model: Any, tokens: Tensor) -> Tensor:
    positions = document_positions(tokens, eos=EOS)
    found: Tensor = model(input_ids=tokens, position_ids=positions, use_cache=False).logits
    return found


def test_a_document_begins_with_the_eos_before_it_and_counts_its_places_from_0() -> None:
    tokens = torch.tensor([[5, 6, EOS, 7, EOS, EOS, 8, 9]])
    assert document_positions(tokens, eos=EOS).tolist() == [[0, 1, 0, 1, 0, 0, 1, 2]]


@pytest.mark.parametrize("model_type", MASK_DOCUMENTS)
@torch.no_grad()
def test_a_change_in_one_document_changes_no_logit_of_another(model_type: str) -> None:
    model, (tokens, other) = model_of(model_type), rows()
    with known_sequences(document_mask=True):
        changed, same = logits(model, other), logits(model, tokens)
    assert torch.equal(changed[:, FIRST:], same[:, FIRST:])
    assert not torch.equal(changed[:, :FIRST], same[:, :FIRST])
    alone = model(input_ids=tokens[:, FIRST:], use_cache=False).logits
    assert torch.allclose(same[:, FIRST:], alone, atol=1e-5)


@torch.no_grad()
def test_without_the_mask_a_change_is_seen_by_all_that_follows() -> None:
    """So that the test above can fail."""
    model, (tokens, other) = model_of("llama"), rows()
    with known_sequences():
        changed, same = (model(input_ids=each, use_cache=False).logits for each in (other, tokens))
    assert not torch.equal(changed[:, -1], same[:, -1])


@contextmanager
def compiled(model: PreTrainedModel) -> Iterator[Any]:
    try:
        yield torch.compile(model)
    finally:
        torch.compiler.reset()


@COMPILER_WARNS
@pytest.mark.slow
@torch.no_grad()
def test_a_compiled_model_keeps_documents_apart_too() -> None:
    model, (tokens, other) = model_of("llama"), rows()
    with known_sequences(document_mask=True):
        expected = logits(model, tokens)
        with compiled(model) as fast:
            changed, same = logits(fast, other), logits(fast, tokens)
    assert torch.equal(changed[:, FIRST:], same[:, FIRST:])
    assert torch.allclose(same, expected, atol=1e-5)


@COMPILER_WARNS
@pytest.mark.slow
@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_loss_and_its_gradient_are_the_sums_over_the_documents(*, is_compiled: bool) -> None:
    """Each target counts: the first token of a text is predicted from the EOS before it."""
    tokens, _ = rows()
    tokens = torch.cat([tokens, tokens[:, :1]], 1)
    documents = tokens[:, : FIRST + 1], tokens[:, FIRST:]

    def loss_and_gradients(
        parts: tuple[Tensor, ...], *, is_compiled: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        model = model_of("llama")
        objective = next_token_objective(model, compiled=False, document_eos=EOS)
        if is_compiled:
            objective.compile()
        with known_sequences(document_mask=True):
            loss = torch.stack([objective(part[:, :-1], part[:, 1:]) for part in parts]).sum()
            loss.backward()
        torch.compiler.reset()
        return loss, [p.grad for p in model.parameters() if p.grad is not None]

    whole, gradients = loss_and_gradients((tokens,), is_compiled=is_compiled)
    summed, of_documents = loss_and_gradients(documents)
    assert torch.allclose(whole, summed, rtol=1e-5)
    for gradient, expected in zip(gradients, of_documents, strict=True):
        assert torch.allclose(gradient, expected, atol=1e-5)
