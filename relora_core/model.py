"""The plain Hugging Face model that a run starts from, in fp32 on the CPU."""

from collections.abc import Mapping
from typing import Any, assert_never

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from relora_core.errors import ModelError
from relora_core.presets import preset_config
from relora_core.seeds import generator_seed
from relora_core.spec import (
    ConfigModel,
    PresetModel,
    PretrainedModel,
    TaskName,
    TrainSpec,
    check_no_kernels,
)

AutoModel = type[_BaseAutoModelClass]  # the class of those below

AUTO_MODELS: dict[TaskName, AutoModel] = {
    "causal_lm": AutoModelForCausalLM,
    "image_classification": AutoModelForImageClassification,
}


def make_config(spec: TrainSpec, of_the_data: Mapping[str, Any]) -> PreTrainedConfig:
    """The model's config; `of_the_data` are the fields that a new model takes from its data.

    They win over a preset's, and what `model.config` says wins over them. Raises `ModelError`,
    also if the model is none for the task.
    """
    config = _config(spec, of_the_data)
    _check_no_kernels(config)
    auto_model = AUTO_MODELS[spec.task]
    known: Any = auto_model._model_mapping
    if type(config) not in known:
        raise ModelError(
            f"transformers has no {config.model_type} for task {spec.task} "
            f"({auto_model.__name__}); change model or task"
        )
    return config


def _check_no_kernels(config: PreTrainedConfig) -> None:
    """A config may come with a model of anybody, and transformers loads what it names."""
    try:
        check_no_kernels({"attn_implementation": config._attn_implementation, **config.to_dict()})
    except ValueError as error:
        raise ModelError(f"the model's config: {error}") from None


def _config(spec: TrainSpec, of_the_data: Mapping[str, Any]) -> PreTrainedConfig:
    match spec.model:
        case PresetModel():
            return _from_fields({**preset_config(spec.model.preset), **of_the_data})
        case ConfigModel():
            return _from_fields({**of_the_data, **spec.model.config})
        case PretrainedModel():
            try:
                return AutoConfig.from_pretrained(spec.model.pretrained)
            except (OSError, ValueError) as error:
                raise ModelError(f"cannot load model.pretrained: {error}") from error
        case _:
            assert_never(spec.model)


def _from_fields(fields: dict[str, Any]) -> PreTrainedConfig:
    fields = dict(fields)
    try:
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
    except (ValueError, TypeError) as error:
        raise ModelError(f"model.config is no config of transformers: {error}") from error


def build_model(
    spec: TrainSpec, auto_model: AutoModel, config: PreTrainedConfig
) -> PreTrainedModel:
    """The model of this config. Random weights come from the seed.

    Of pretrained weights, those of a head for other labels are left out.
    """
    torch.manual_seed(generator_seed(spec.training.seed))
    if isinstance(spec.model, PretrainedModel) and spec.model.init == "weights":
        model = auto_model.from_pretrained(
            spec.model.pretrained,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=spec.task == "image_classification",
        )
    else:
        model = auto_model.from_config(config, dtype=torch.float32)
    if spec.training.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model
