from dataclasses import fields
from typing import Any

import pytest
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)

from relora_core.errors import ModelError
from relora_core.models.build import make_config
from relora_core.shapes import FAMILIES
from relora_core.shapes.known_names import FIELDS, MODEL_TYPES, OF_ALL
from relora_core.shapes.names import check_names
from relora_core.spec import TrainSpec


def test_the_names_are_those_of_transformers() -> None:
    assert set(MODEL_TYPES["causal_lm"]) == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    images = set(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    assert set(MODEL_TYPES["image_classification"]) == images
    assert {field.name for field in fields(PreTrainedConfig)} == OF_ALL
    assert FIELDS.keys() == FAMILIES.keys()
    for name, known in FIELDS.items():
        config = CONFIG_MAPPING[name]
        assert {field.name for field in fields(config)} | config.attribute_map.keys() == {
            *known,
            *OF_ALL,
        }


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "lama"}, "no model_type 'lama'; did you mean `llama`?"),
        (
            {"model_type": "llama", "hiden_size": 64},
            "llama has no field `hiden_size`; did you mean `hidden_size`?",
        ),
        ({"model_type": "gpt2", "zzz": 1}, "gpt2 has no field `zzz`; leave it out"),
        ({"model_type": "bert"}, "a bert sees the tokens that it is to predict"),
    ],
)
def test_a_name_that_transformers_does_not_know_is_refused_before_and_in_the_run(
    config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError) as before:
        check_names(config, "causal_lm")
    with pytest.raises(ModelError) as in_the_run:
        make_config(_spec(config), {})
    assert str(before.value).startswith(f"model.config: {reason}")
    assert str(in_the_run.value) == str(before.value)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"hidden_size": 64}, "write hidden_size in `text_config`"),
        ({"text_config": {"hiden_size": 64}}, "text_config has no field `hiden_size`; did you"),
    ],
)
def test_a_config_with_parts_says_in_which_part_a_field_belongs(
    config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError) as error:
        make_config(_spec({"model_type": "gemma3", **config}), {})
    assert str(error.value).startswith(f"model.config: {reason}")


def test_a_config_json_of_the_hub_is_taken_as_it_is() -> None:
    written = {
        "_name_or_path": "meta-llama/Llama-2-7b",
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "pretraining_tp": 1,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "torch_dtype": "float16",
        "transformers_version": "4.31.0",
        "use_cache": True,
    }
    check_names(written, "causal_lm")
    assert make_config(_spec(written), {}).model_type == "llama"


def test_what_a_library_says_of_a_config_comes_without_its_classes() -> None:
    config = {"model_type": "llama", "hidden_size": 32, "num_attention_heads": 5}
    with pytest.raises(ModelError) as error:
        make_config(_spec(config), {})
    assert str(error.value) == (
        "model.config is wrong: The hidden size (32) is not a multiple of the number of attention "
        "heads (5)."
    )


def _spec(config: dict[str, Any]) -> TrainSpec:
    document = {
        "model": {"config": config},
        "data": {"train": {"uri": "/data"}},
        "training": {"steps": 10},
    }
    return TrainSpec.model_validate(document)
