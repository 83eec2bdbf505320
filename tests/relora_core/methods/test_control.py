from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from relora_core.errors import ModelError
from relora_core.methods.control import ControlShape, control_shape
from relora_core.presets import MODELS
from relora_core.spec import ControlMethod
from tests.relora_core.lowrank.test_inject import COMMON, FAMILIES


def config_of(fields: dict[str, Any]) -> PreTrainedConfig:
    fields = dict(fields)
    config: PreTrainedConfig = AutoConfig.for_model(fields.pop("model_type"), **fields)
    return config


def shape_of(config: PreTrainedConfig, rank: int = 128) -> ControlShape:
    return control_shape(config, ControlMethod(rank=rank), AutoModelForCausalLM)


# "trainable params" of arXiv 2307.05695, table 1, in millions
PAPER = {"llama_60m": 43, "llama_130m": 72, "llama_250m": 99, "llama_350m": 125, "llama_1b": 250}


@pytest.mark.parametrize("preset", PAPER)
def test_it_is_as_large_as_what_relora_trains_in_the_paper(preset: str) -> None:
    shape = shape_of(config_of(MODELS[preset]))
    assert shape.target / 1e6 == pytest.approx(PAPER[preset], rel=0.005)
    assert shape.parameters == pytest.approx(shape.target, rel=1e-4)


@pytest.mark.parametrize("preset", MODELS)
def test_of_each_preset_there_is_one_that_is_a_ten_thousandth_off_at_most(preset: str) -> None:
    config = config_of(MODELS[preset])
    shape = shape_of(config, rank=config.hidden_size // 8)
    assert shape.parameters == pytest.approx(shape.target, rel=2e-4)
    narrow = shape.config
    assert narrow.hidden_size % (2 * narrow.num_attention_heads) == 0
    # in proportion: the MLP takes up no more than a step of the width leaves over
    proportion = narrow.intermediate_size / narrow.hidden_size
    assert proportion == pytest.approx(config.intermediate_size / config.hidden_size, rel=0.2)
    for field in ("num_hidden_layers", "vocab_size", "max_position_embeddings"):
        assert getattr(narrow, field) == getattr(config, field)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_narrowed_to_a_model_that_runs(family: str) -> None:
    wide = {"hidden_size": 64, "n_embd": 64, "ffn_dim": 128, "word_embed_proj_dim": 64}
    fields = {k: wide.get(k, value) for k, value in FAMILIES[family].items()}
    config = config_of({**COMMON, **fields})
    shape = shape_of(config, rank=4)
    model = AutoModelForCausalLM.from_config(shape.config)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters
    # Bloom's MLP is four times the hidden size by definition: nothing takes up the steps
    assert shape.parameters == pytest.approx(shape.target, rel=0.2 if family == "bloom" else 0.02)
    assert shape.config.hidden_size < 64
    assert model(torch.arange(10).unsqueeze(0)).logits.shape == (1, 10, 300)


def test_the_patterns_of_the_run_it_is_the_control_of_count() -> None:
    config = config_of(MODELS["llama_60m"])
    method = ControlMethod(rank=128, target_modules=["*.q_proj", "*.v_proj"])
    embeddings_norms_and_head = 2 * 32100 * 512 + (2 * 8 + 1) * 512
    factors = 8 * 2 * 128 * (512 + 512)
    shape = control_shape(config, method, AutoModelForCausalLM)
    assert shape.target == embeddings_norms_and_head + factors


def test_a_rank_that_leaves_nothing_to_reduce_is_an_error() -> None:
    with pytest.raises(
        ModelError, match=r"as large as what ReLoRA trains of it .* lower method\.rank"
    ):
        shape_of(config_of(MODELS["llama_9m"]), rank=128)


def test_a_config_without_a_known_width_is_an_error() -> None:
    mamba = {"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 300}
    with pytest.raises(ModelError, match="cannot narrow a mamba"):
        shape_of(config_of(mamba), rank=4)
