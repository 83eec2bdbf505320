import re
from typing import Any, get_args

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from relora_core.errors import ModelError
from relora_core.lowrank.inject import (
    factorize,
    find_targets,
    frozen_parameters,
    inject,
    low_rank_layers,
    merged_tensors,
    narrow_layers,
    num_weights,
    target_layers,
)
from relora_core.lowrank.linear import LowRankLinear
from relora_core.lowrank.restart import reinitialize
from relora_core.spec import (
    Factors,
    FrozenDtype,
    GaloreMethod,
    LowrankMethod,
    ReloraMethod,
    Targets,
)
from tests.relora_core.conftest import ROOT, TINY_LLAMA, MakeModel
from tests.relora_core.estimate.live_memory import LiveMemory

COMMON = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": TINY_LLAMA,
    "mistral": {**TINY_LLAMA, "model_type": "mistral", "num_key_value_heads": 2},
    "qwen2": {**TINY_LLAMA, "model_type": "qwen2", "num_key_value_heads": 2},
    "gpt_neox": {
        "model_type": "gpt_neox",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "opt": {
        "model_type": "opt",
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 64,
    },
    "bloom": {"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 4},
}
LAYERS_A_BLOCK = {"gpt_neox": 4, "gpt2": 4, "bloom": 4, "opt": 6}
METHOD = ReloraMethod(rank=4, frozen_dtype="fp32")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_of_the_blocks_becomes_low_rank_and_comes_out_merged(
    family: str, make_model: MakeModel
) -> None:
    model = make_model(**COMMON, **FAMILIES[family]).eval()
    tokens = torch.arange(10).unsqueeze(0)
    before = model(tokens).logits

    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    layers = list(low_rank_layers(model))
    assert len(layers) == 2 * LAYERS_A_BLOCK.get(family, 7)
    assert torch.allclose(model(tokens).logits, before, atol=1e-5)

    for _, layer in layers:
        torch.nn.init.normal_(layer.lora_b, std=0.1)
    trained = model(tokens).logits
    assert not torch.allclose(trained, before, atol=1e-2)
    plain = AutoModelForCausalLM.from_config(model.config).eval()
    plain.load_state_dict(dict(merged_tensors(model)), strict=True)
    assert torch.allclose(plain(tokens).logits, trained, atol=1e-5)


def test_merged_weights_are_made_one_by_one(make_model: MakeModel) -> None:
    """An export on a full GPU has no room for a second model."""
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    sizes = [4 * num_weights(layer) for _, layer in low_rank_layers(model)]
    memory = LiveMemory()
    for tensor in model.state_dict().values():
        memory.track(tensor)
    before = memory.now
    with memory:
        for _ in merged_tensors(model):
            pass
    assert max(sizes) <= memory.peak - before <= 4 * max(sizes) < sum(sizes) / 2


def test_embeddings_norms_and_the_head_stay_trainable(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, METHOD)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {f"{name}.frozen.stored" for name, _ in low_rank_layers(model)}
    assert model.get_output_embeddings().weight.requires_grad


@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_the_count_of_frozen_weights_is_the_same_however_they_are_stored(
    frozen_dtype: str, make_model: MakeModel
) -> None:
    model = make_model()
    blocks = sum(p.numel() for name, p in model.named_parameters() if "proj" in name)
    inject(model, METHOD.model_copy(update={"frozen_dtype": frozen_dtype}))
    assert frozen_parameters(model) == blocks == 20480


def test_patterns_choose_the_targets_and_freeze_the_rest_of_the_blocks(
    make_model: MakeModel,
) -> None:
    model = make_model()
    inject(model, METHOD.model_copy(update={"target_modules": ["*.q_proj", "*.v_proj"]}))
    assert {name.rpartition(".")[2] for name, _ in low_rank_layers(model)} == {"q_proj", "v_proj"}
    parameters = dict(model.named_parameters())
    assert not parameters["model.layers.0.mlp.up_proj.weight"].requires_grad
    assert parameters["model.layers.0.input_layernorm.weight"].requires_grad


def test_a_pattern_that_matches_nothing_is_an_error(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match="matches no linear layer of the model; take all_linear"):
        inject(make_model(), METHOD.model_copy(update={"target_modules": ["*.c_attn"]}))


def test_a_rank_over_the_smaller_side_is_an_error(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match="rank 33 is over the smaller side of"):
        inject(make_model(), METHOD.model_copy(update={"rank": 33}))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [METHOD, LowrankMethod(rank=4)], ids=["low_rank", "factored"])
def test_a_head_whose_weight_is_tied_cannot_be_a_target(
    method: Factors, family: str, make_model: MakeModel
) -> None:
    model = make_model(**COMMON, **FAMILIES[family], tie_word_embeddings=True)
    every_layer = {"target_modules": ["*"]}
    replace: Any = inject if isinstance(method, ReloraMethod) else factorize
    with pytest.raises(ModelError, match="matches lm_head, whose weight is tied to the embeddings"):
        replace(model, method.model_copy(update=every_layer))
    galore = GaloreMethod(rank=4, **every_layer)
    assert "lm_head" in dict(find_targets(model, galore))  # which keeps the weight


def test_the_page_on_the_method_names_the_families_that_are_tested() -> None:
    page = (ROOT / "docs/method.md").read_text()
    [named] = re.findall(r"Tests train (.*?), and `vit`", page, re.S)
    assert re.findall(r"`(\w+)`", named) == list(FAMILIES)


EXPERTS = {"num_hidden_layers": 1, "moe_intermediate_size": 16}


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("mixtral", {"num_local_experts": 4}),
        ("qwen2_moe", {"num_experts": 4, "shared_expert_intermediate_size": 32}),
        ("olmoe", {"num_experts": 4}),
    ],
)
@pytest.mark.parametrize(
    "method",
    [METHOD, LowrankMethod(rank=4), GaloreMethod(rank=4)],
    ids=lambda method: method.name,
)
def test_experts_that_are_no_linear_layers_are_refused_by_name(
    family: str, fields: dict[str, Any], method: Targets, make_model: MakeModel
) -> None:
    model = make_model(**COMMON, **TINY_LLAMA | EXPERTS | fields | {"model_type": family})
    with pytest.raises(ModelError, match=r"no linear layer.*layers\.0\.mlp\.experts\.gate_up_proj"):
        find_targets(model, method)


@pytest.mark.integration  # transformers looks for a compiler
def test_a_family_whose_code_reads_the_weights_of_its_layers_is_refused_by_name(
    make_model: MakeModel,
) -> None:
    model = make_model(**COMMON, model_type="rwkv", hidden_size=32, num_hidden_layers=2)
    for method in (METHOD, LowrankMethod(rank=4)):
        with pytest.raises(ModelError, match="a rwkv reads the weights of its linear layers"):
            find_targets(model, method)
    assert find_targets(model, GaloreMethod(rank=4))  # which keeps the layers


def with_routers(model: PreTrainedModel) -> PreTrainedModel:
    """One layer of two outputs in each block."""
    for block in model.model.layers:
        block.mlp.router = torch.nn.Linear(32, 2, bias=False)
    return model


def test_a_router_is_left_out_of_all_linear_and_trained(make_model: MakeModel) -> None:
    model = with_routers(make_model())
    inject(model, METHOD)
    names = [f"model.layers.{number}.mlp.router" for number in range(2)]
    assert narrow_layers(model, METHOD) == names
    assert not set(names) & {name for name, _ in low_rank_layers(model)}
    assert all(model.get_submodule(name).weight.requires_grad for name in names)
    assert len(list(target_layers(model, METHOD))) == len(list(low_rank_layers(model))) == 14


def test_a_router_that_a_pattern_names_does_not_fit(make_model: MakeModel) -> None:
    method = METHOD.model_copy(update={"target_modules": ["*.mlp.*"]})
    with pytest.raises(ModelError, match=r"rank 4 is over the smaller side of .*router, .* most 2"):
        inject(with_routers(make_model()), method)


def test_hooks_of_the_model_still_run_and_its_class_stays(make_model: MakeModel) -> None:
    """The released code's wrapper goes past them: `self.forward = wrapped.forward`."""
    model = make_model()
    kind, called = type(model), []
    model.register_forward_hook(lambda module, *_: called.append(type(module)))
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    for _, layer in low_rank_layers(model):
        layer.register_forward_hook(lambda module, *_: called.append(type(module)))
    model(torch.arange(4).unsqueeze(0))
    assert type(model) is kind
    assert called == [LowRankLinear] * 14 + [kind]
