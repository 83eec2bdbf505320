"""Build the plain Hugging Face model that a run starts from, in fp32 on the CPU."""

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
from relora_core.models.checkpointing import checkpoint_blocks
from relora_core.models.meta_parameters import parameters_on_meta
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
from relora_core.spec.file_uris import is_missing

AutoModel = type[_BaseAutoModelClass]  # the type of the auto classes below

AUTO_MODELS: dict[TaskName, AutoModel] = {
    "causal_lm": AutoModelForCausalLM,
    "image_classification": AutoModelForImageClassification,
}


def make_config(spec: TrainSpec, of_the_data: Mapping[str, Any]) -> PreTrainedConfig:
    """Return the model's config. `of_the_data` has the fields that a new model takes from the data.

    They override a preset's fields, and the fields of `model.config` override them. Raise
    `ModelError` if the config is wrong or if the model does not fit the task.
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
    """Raise `ModelError` if the config names kernels.

    The config of a downloaded model is not trusted, and transformers would load the kernels that it
    names.
    """
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
        case PretrainedModel(pretrained=name):
            if is_missing(name):
                raise ModelError(f"model.pretrained: there is no file or folder {name!r}")
            try:
                return AutoConfig.from_pretrained(name)
            except (OSError, ValueError) as error:
                raise ModelError(f"cannot load model.pretrained: {reason(error)}") from error
        case _:
            assert_never(spec.model)


def _from_fields(written: dict[str, Any]) -> PreTrainedConfig:
    rest = deepcopy(written)  # transformers changes nested values
    model_type = rest.pop("model_type")
    if model_type not in CONFIG_MAPPING:
        raise no_model_type(model_type, CONFIG_MAPPING)
    try:
        return AutoConfig.for_model(model_type, **rest)
    except Exception as error:  # the config's own code can raise any error
        # the field checks wrap the reason in errors of their own
        raise ModelError(f"model.config is wrong: {error.__cause__ or error}") from error


def _check_fields(config: PreTrainedConfig, written: Mapping[str, Any], within: str = "") -> None:
    """Raise `ModelError` for a written field that the config, or a part of it, does not use."""
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
    spec: TrainSpec, auto_model: AutoModel, config: PreTrainedConfig, *, weights: bool = True
) -> PreTrainedModel:
    """Return the model of this config. Random weights depend on the seed.

    If weights are pretrained, a classification head for other labels is not loaded. Without
    `weights`, the parameters are on the meta device.
    """
    torch.manual_seed(generator_seed(spec.training.seed))
    if not weights:
        with parameters_on_meta():
            model = _from_config(auto_model, config)
    elif isinstance(spec.model, PretrainedModel) and spec.model.init == "weights":
        model = auto_model.from_pretrained(
            spec.model.pretrained,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=spec.task == "image_classification",
        )
    else:
        model = _from_config(auto_model, config)
    checkpoint_blocks(model, spec.training.gradient_checkpointing)
    return model


def _from_config(auto_model: AutoModel, config: PreTrainedConfig) -> PreTrainedModel:
    try:
        model: PreTrainedModel = auto_model.from_config(config, dtype=torch.float32)
    except Exception as error:  # the model's own code can raise any error
        raise ModelError(
            f"transformers cannot build a {config.model_type} of this config: {error}"
        ) from error
    return model
