from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.lowrank.variant import is_merged
from relora_core.spec import LoraMethod, Variant
from tests.relora_core.conftest import TINY_LLAMA, MakeModel

LLAMA = {**TINY_LLAMA, "vocab_size": 300}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 300}
NO_DROPOUT = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}


def merged(
    variant: Variant = "auto",
    *,
    tokens: int = 4096,
    dropout: float = 0.0,
    as_stored: bool = False,
) -> bool:
    return is_merged(
        variant, tokens=tokens, d_in=1024, d_out=2736, dropout=dropout, as_stored=as_stored
    )


def test_auto_merges_where_there_are_more_tokens_than_the_harmonic_mean_of_the_sides() -> None:
    assert not merged(tokens=1490)  # 2 * 1024 * 2736 / (1024 + 2736) = 1490.2
    assert merged(tokens=1491)


def test_what_the_spec_names_is_taken_for_any_number_of_tokens() -> None:
    assert merged("merged", tokens=1)
    assert not merged("branches", tokens=10**6)


def test_dropout_needs_the_branch_that_it_acts_on() -> None:
    assert not merged(dropout=0.1)


def test_a_weight_that_is_multiplied_as_it_is_stored_is_merged_only_where_the_spec_says_so() -> (
    None
):
    assert not merged(as_stored=True)
    assert merged("merged", as_stored=True)


def low_rank_model(make_model: MakeModel, config: dict[str, Any], variant: str) -> PreTrainedModel:
    model = make_model(**config)
    inject(model, LoraMethod.model_validate({"name": "lora", "rank": 4, "variant": variant}))
    reinitialize(model, step=0, restart=0, seed=0)
    torch.manual_seed(0)
    for _, layer in low_rank_layers(model):
        torch.nn.init.normal_(layer.lora_b, std=0.1)
    return model


def gradients(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    tokens = torch.arange(2 * 16).view(2, 16)
    model.train()
    model(input_ids=tokens, labels=tokens).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("config", [LLAMA, {**GPT2, **NO_DROPOUT}], ids=["llama", "gpt2"])
def test_a_model_has_the_same_gradients_either_way(
    config: dict[str, Any], make_model: MakeModel, *, checkpointing: bool
) -> None:
    branches = gradients(low_rank_model(make_model, config, "branches"))
    model = low_rank_model(make_model, config, "merged")
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    for name, gradient in gradients(model).items():
        expected = branches.pop(name)
        assert (gradient - expected).norm() <= 1e-5 * expected.norm() + 1e-8, name
    assert not branches
