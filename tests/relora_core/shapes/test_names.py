from copy import deepcopy
from dataclasses import fields
from itertools import chain
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)

from relora_core.errors import ModelError
from relora_core.models.build import build_model, make_config
from relora_core.shapes import FAMILIES
from relora_core.shapes.known_names import ACTIVATIONS, FIELDS, MODEL_TYPES, OF_ALL, ROPE_TYPES
from relora_core.shapes.names import check_names, check_values
from relora_core.spec import TrainSpec

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "vocab_size": 64,
}


def refused_before_and_in_the_run(config: dict[str, Any]) -> str:
    """Return the message of the refusal, which is the same from both."""
    with pytest.raises(ModelError) as before:
        check_names(config, "causal_lm")
    with pytest.raises(ModelError) as in_the_run:
        make_config(_spec(config), {})
    assert str(in_the_run.value) == str(before.value)
    return str(before.value)


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
    assert refused_before_and_in_the_run(config).startswith(f"model.config: {reason}")


def test_the_activations_and_rotary_embeddings_are_those_of_transformers() -> None:
    assert set(ACTIVATIONS) == set(ACT2FN)
    assert set(ROPE_TYPES) == {"default", *ROPE_INIT_FUNCTIONS}
    for model_type in chain(*MODEL_TYPES.values()):
        check_values({field.name: field.default for field in fields(CONFIG_MAPPING[model_type])})


@pytest.mark.parametrize("rope_type", ROPE_TYPES)
def test_a_rotary_embedding_with_the_fields_that_it_needs_is_built(rope_type: str) -> None:
    values = {"factor": 2.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0}
    lists = {"long_factor": [1.0] * 4, "short_factor": [1.0] * 4}
    fields_of_it = {name: (values | lists)[name] for name in ROPE_TYPES[rope_type]}
    spec = _spec({**TINY, "rope_scaling": {"rope_type": rope_type, **fields_of_it}})
    written = deepcopy(spec)
    build_model(spec, AutoModelForCausalLM, make_config(spec, {}))
    assert spec == written


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"hidden_act": "swoosh"}, "hidden_act: no activation 'swoosh'; did you mean `swish`?"),
        ({"hidden_act": "sillu"}, "hidden_act: no activation 'sillu'; did you mean `silu`?"),
        ({"hidden_act": 5}, "hidden_act: must be the name of an activation, such as gelu"),
        (
            {"rope_scaling": {"type": "lineer", "factor": 2.0}},
            "rope_scaling: no rope_type 'lineer'; did you mean `linear`?",
        ),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters: rope_type linear needs"),
        (
            {"rope_parameters": {"rope_type": "llama3", "factor": 2.0}},
            "rope_parameters: rope_type llama3 needs high_freq_factor, low_freq_factor",
        ),
        ({"rope_scaling": {"factor": 2.0}}, "rope_scaling: a `factor` needs a `rope_type`"),
        ({"rope_scaling": "linear"}, "rope_scaling: must be an object with `rope_type`"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarm", "factor": 2.0}}},
            "rope_parameters.full_attention: no rope_type 'yarm'; did you mean `yarn`?",
        ),
    ],
)
def test_a_value_that_transformers_does_not_know_is_refused_before_and_in_the_run(
    values: dict[str, Any], reason: str
) -> None:
    message = refused_before_and_in_the_run({**TINY, **values})
    assert message.startswith(f"model.config.{reason}")


def test_an_activation_is_looked_at_in_every_part_of_a_config() -> None:
    config = {"model_type": "gemma3", "text_config": {"hidden_activation": "gleu"}}
    with pytest.raises(ModelError, match=r"^model\.config\.text_config\.hidden_activation: no "):
        check_names(config, "causal_lm")


@pytest.mark.parametrize("values", [{"num_attention_heads": 0}, {"dtype": "float7"}])
def test_any_error_of_a_config_is_one_of_ours(values: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"^model\.config is wrong: "):
        make_config(_spec({**TINY, **values}), {})


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
