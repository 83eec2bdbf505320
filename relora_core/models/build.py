"""The plain Hugging Face model that a run starts from, in fp32 on the CPU."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields
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
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from relora_core.errors import ModelError
from relora_core.errors.failures import reason
from relora_core.presets import preset_config
from relora_core.seeds import generator_seed
from relora_core.shapes.names import check_direction, check_fields, check_values, no_model_type
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
            check_values(spec.model.config)
            config = _from_fields({**of_the_data, **spec.model.config})
            _check_fields(config, spec.model.config)
            check_direction(spec.model.config, spec.task)
            return config
        case PretrainedModel():
            try:
                return AutoConfig.from_pretrained(spec.model.pretrained)
            except (OSError, ValueError) as error:
                raise ModelError(f"cannot load model.pretrained: {reason(error)}") from error
        case _:
            assert_never(spec.model)


def _from_fields(written: dict[str, Any]) -> PreTrainedConfig:
    rest = deepcopy(written)  # transformers adds to what is inside
    model_type = rest.pop("model_type")
    if model_type not in CONFIG_MAPPING:
        raise no_model_type(model_type, CONFIG_MAPPING)
    try:
        return AutoConfig.for_model(model_type, **rest)
    except Exception as error:  # of a config's own code: of any kind
        # what checks a field wraps the reason into errors of its own
        raise ModelError(f"model.config is wrong: {error.__cause__ or error}") from error


def _check_fields(config: PreTrainedConfig, written: Mapping[str, Any], within: str = "") -> None:
    """Raise `ModelError` for what was written and is of no use to the config or a part of it."""
    known = {field.name for field in fields(config)} | type(config).attribute_map.keys()
    unknown = {key for key in written if key in vars(config)} - known
    parts = [part for part in type(config).sub_configs if hasattr(config, part)]
    for part in parts:
        inside = sorted(unknown & vars(getattr(config, part)).keys())
        if inside:
            raise ModelError(f"model.config: write {', '.join(inside)} in `{part}`")
        if isinstance(written.get(part), Mapping):
            _check_fields(getattr(config, part), written[part], within=part)
    check_fields(written, known, unknown=unknown, within=within)


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
        model = _from_config(auto_model, config)
    if spec.training.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def _from_config(auto_model: AutoModel, config: PreTrainedConfig) -> PreTrainedModel:
    try:
        model: PreTrainedModel = auto_model.from_config(config, dtype=torch.float32)
    except Exception as error:  # of a model's own code: of any kind
        raise ModelError(
            f"transformers cannot build a {config.model_type} of this config: {error}"
        ) from error
    return model
