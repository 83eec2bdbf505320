from typing import Any

import pytest

from relora_core.errors import ModelError
from relora_core.estimate.parameter_plan import ParameterPlan, factored, full_rank, low_rank
from relora_core.lowrank.inject import factorize, inject
from relora_core.shapes import model_shape
from relora_core.spec import FullMethod, LowRank, LowrankMethod
from tests.relora_core.conftest import MakeModel

SMALL = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 300}
LLAMA = {"model_type": "llama", **SMALL, "intermediate_size": 100, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "mistral": {**LLAMA, "model_type": "mistral"},
    "qwen2": {**LLAMA, "model_type": "qwen2", "tie_word_embeddings": True},
    "gpt_neox": {"model_type": "gpt_neox", **SMALL, "intermediate_size": 100},
    "gpt2": {"model_type": "gpt2", **SMALL, "bos_token_id": 0, "eos_token_id": 0},
    "opt": {"model_type": "opt", **SMALL, "ffn_dim": 100, "word_embed_proj_dim": 32},
    "bloom": {"model_type": "bloom", **SMALL},
}


def counted(plan: ParameterPlan) -> tuple[int, int]:
    return plan.trained, plan.frozen + plan.still


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_full_rank_trains_every_parameter(config: dict[str, Any], make_model: MakeModel) -> None:
    model = make_model(**config)
    assert counted(full_rank(model_shape(config), FullMethod())) == (model.num_parameters(), 0)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    "method",
    [
        LowRank(rank=8),
        LowRank(rank=8, trainable_scaling=True),
        LowRank(rank=4, target_modules=["*.1.*"]),
    ],
    ids=["all_linear", "trainable_scaling", "one_block"],
)
def test_low_rank_trains_and_freezes_what_the_trainer_does(
    config: dict[str, Any], method: LowRank, make_model: MakeModel
) -> None:
    model = make_model(**config)
    inject(model, method)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    assert counted(low_rank(model_shape(config), method)) == (trained, frozen)


def test_layers_too_narrow_for_the_rank_are_trained_in_full(make_model: MakeModel) -> None:
    narrow = {**LLAMA, "num_key_value_heads": 1, "head_dim": 4}  # k_proj and v_proj are 4 x 48
    model, method = make_model(**narrow), LowRank(rank=8)
    inject(model, method)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    plan = low_rank(model_shape(narrow), method)
    assert counted(plan) == (trained, frozen)
    assert {linear.shape for linear in plan.narrow} == {(4, 48)}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_low_rank_from_scratch_trains_what_the_trainer_does(
    config: dict[str, Any], make_model: MakeModel
) -> None:
    model, method = make_model(**config), LowrankMethod(rank=8, target_modules=["*.0.*"])
    factorize(model, method)
    assert counted(factored(model_shape(config), method)) == (model.num_parameters(), 0)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (LowRank(target_modules=["*.query"]), "matches no linear layer"),
        (LowRank(rank=49), "rank 49 is over the smaller side of model.layers"),
    ],
)
def test_a_method_that_fits_no_layer_is_an_error(method: LowRank, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        low_rank(model_shape(LLAMA), method)


@pytest.mark.parametrize("model_type", ["qwen2", "gpt2"])
@pytest.mark.parametrize("estimate", [low_rank, factored])
def test_a_head_whose_weight_is_tied_cannot_be_a_target(model_type: str, estimate: Any) -> None:
    kind = LowRank if estimate is low_rank else LowrankMethod
    with pytest.raises(ModelError, match="matches lm_head, whose weight is tied"):
        estimate(model_shape(CONFIGS[model_type]), kind(rank=8, target_modules=["*"]))
