from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from relora_core.errors import ModelError
from relora_core.presets import MODELS
from relora_core.shapes import FAMILIES, Linear, model_shape

SMALL = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIGS: list[dict[str, Any]] = [
    *({"model_type": name} for name in FAMILIES),
    *MODELS.values(),
    {"model_type": "llama", **SMALL, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    {"model_type": "llama", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    {"model_type": "mistral", **SMALL, "num_key_value_heads": 1},
    {"model_type": "qwen2", **SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    {"model_type": "gpt_neox", **SMALL, "attention_bias": False, "tie_word_embeddings": True},
    {"model_type": "gpt2", "n_embd": 48, "n_layer": 3, "n_head": 4, "n_inner": 100},
    {"model_type": "gpt2", **SMALL, "max_position_embeddings": 64},
    {"model_type": "opt", **SMALL, "ffn_dim": 100, "word_embed_proj_dim": 24},
    {"model_type": "opt", **SMALL, "do_layer_norm_before": False, "enable_bias": False},
    {"model_type": "opt", **SMALL, "layer_norm_elementwise_affine": False},
    {"model_type": "bloom", "hidden_size": 48, "n_layer": 3, "n_head": 4},
    {"model_type": "vit", **SMALL, "image_size": 28, "patch_size": 7, "num_channels": 1},
    {"model_type": "vit", **SMALL, "qkv_bias": False, "num_labels": 10},
]


def meta_model(config: dict[str, Any]) -> PreTrainedModel:
    fields = dict(config)
    model_type = fields.pop("model_type")
    auto: Any = AutoModelForImageClassification if model_type == "vit" else AutoModelForCausalLM
    with torch.device("meta"):
        model: PreTrainedModel = auto.from_config(AutoConfig.for_model(model_type, **fields))
    return model


def linears_of(model: PreTrainedModel) -> set[Linear]:
    found = set()
    embedded = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            d_out, d_in = (
                module.weight.T.shape if isinstance(module, Conv1D) else module.weight.shape
            )
            tied = id(module.weight) in embedded
            found.add(Linear(name, d_out, d_in, bias=module.bias is not None, tied=tied))
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: str(list(config.values())[:2]))
def test_the_shape_is_that_of_the_model_of_transformers(config: dict[str, Any]) -> None:
    shape, model = model_shape(config), meta_model(config)
    named = [replace(one, name=name, blocks=()) for one in shape.linears for name in one.names]
    assert set(named) == linears_of(model)
    assert len(named) == len(set(named))
    assert shape.parameters == sum(p.numel() for p in model.parameters())


def test_an_unknown_family_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ModelError, match="'mamba'; known are llama, mistral, qwen2"):
        model_shape({"model_type": "mamba"})


def test_a_field_of_the_wrong_type_is_an_error() -> None:
    with pytest.raises(ModelError, match="no shape"):
        model_shape({"model_type": "llama", "hidden_size": "large"})
