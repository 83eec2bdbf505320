"""Which models' losses go through the head in chunks."""

from typing import Any

import pytest
import torch

from relora_core.distributed.dtensor import full_tensor
from relora_core.distributed.world import World
from relora_core.tasks.next_token import next_token_objective
from relora_core.tasks.token_loss import sum_of_cross_entropies
from tests.relora_core.conftest import MakeModel
from tests.relora_core.sharding import sharded

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
HEAD_ALONE: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **SIZE, "intermediate_size": 64},
    "llama_tied": {
        "model_type": "llama",
        **SIZE,
        "intermediate_size": 64,
        "tie_word_embeddings": True,
    },
    "gpt2": {"model_type": "gpt2", **SIZE, "bos_token_id": 0, "eos_token_id": 0},
    "gpt_neox": {"model_type": "gpt_neox", **SIZE, "intermediate_size": 64},
    "opt": {"model_type": "opt", **SIZE, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"model_type": "bloom", **SIZE},
}
MORE_THAN_THE_HEAD: dict[str, dict[str, Any]] = {
    "gemma2": {
        "model_type": "gemma2",
        **SIZE,
        "intermediate_size": 64,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "final_logit_softcapping": 1.0,
    },
    "granite": {
        "model_type": "granite",
        **SIZE,
        "intermediate_size": 64,
        "logits_scaling": 8.0,
    },
}
ALL = {**HEAD_ALONE, **MORE_THAN_THE_HEAD}


@pytest.mark.parametrize("family", ALL)
def test_each_family_s_loss_and_gradients_are_those_of_its_own_logits(
    family: str, make_model: MakeModel
) -> None:
    model = make_model(**ALL[family], vocab_size=100).eval()
    model.config.use_cache = False
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.5)
    objective = next_token_objective(model, compiled=False)
    tokens = torch.randint(0, 100, (2, 9))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    parameters = list(model.parameters())
    loss = objective(inputs, targets)
    expected = sum_of_cross_entropies(model(input_ids=inputs).logits, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    theirs = torch.autograd.grad(expected, parameters)
    for gradient, other in zip(torch.autograd.grad(loss, parameters), theirs, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_all_logits_are_made_where_they_are_more_than_the_head_s_output(
    family: str, make_model: MakeModel
) -> None:
    model = make_model(**ALL[family], vocab_size=100)
    objective = next_token_objective(model, compiled=False)
    tokens = torch.randint(0, 100, (2, 9))
    shapes: list[torch.Size] = []
    model.get_output_embeddings().register_forward_hook(
        lambda _module, _inputs, logits: shapes.append(logits.shape)
    )
    objective(tokens[:, :-1], tokens[:, 1:]).backward()
    assert shapes == ([] if family in HEAD_ALONE else [torch.Size([2, 8, 100])])


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view")  # of OPT's blocks
@pytest.mark.parametrize("family", ALL)
def test_a_sharded_model_has_the_same_loss_and_gradients(
    family: str, one_rank: World, make_model: MakeModel
) -> None:
    config = {**ALL[family], "vocab_size": 100}
    plain, tokens = make_model(**config), torch.randint(0, 100, (2, 9))
    model = sharded(one_rank, make_model, config).apply(make_model(**config))
    head = model.get_output_embeddings()
    shapes: list[torch.Size] = []
    for each in (plain, model):
        each.config.use_cache = False
        next_token_objective(each.eval(), compiled=False)(tokens[:, :-1], tokens[:, 1:]).backward()
    for (name, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None
        gradient = full_tensor(mine.grad)
        torch.testing.assert_close(gradient, theirs.grad, rtol=1e-4, atol=1e-5, msg=name)
    objective = next_token_objective(model, compiled=False)
    head.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    with torch.no_grad():
        objective(tokens[:, :-1], tokens[:, 1:])
    assert shapes == [torch.Size([]) if family in HEAD_ALONE else torch.Size([2, 8, 100])]


def test_a_model_in_training_stays_in_training(make_model: MakeModel) -> None:
    model = make_model(**HEAD_ALONE["llama"], vocab_size=100).train()
    next_token_objective(model, compiled=False)
    assert model.training
