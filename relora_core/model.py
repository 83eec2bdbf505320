"""The plain Hugging Face model that a run starts from, in fp32 on the CPU."""

from typing import Any, assert_never

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from relora_core.errors import ModelError
from relora_core.presets import MODELS
from relora_core.spec import ConfigModel, PresetModel, PretrainedModel, TrainSpec


def build_model(spec: TrainSpec, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The model of the spec, for this tokenizer. Random weights come from the seed.

    Raises `ModelError` if the config is wrong or does not fit the tokenizer or the data.
    """
    config = _config(spec, tokenizer)
    _check(config, spec, tokenizer)
    if isinstance(spec.model, PretrainedModel) and spec.model.init == "weights":
        model = AutoModelForCausalLM.from_pretrained(spec.model.pretrained, dtype=torch.float32)
    else:
        torch.manual_seed(spec.training.seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.config.use_cache = False
    if spec.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _config(spec: TrainSpec, tokenizer: PreTrainedTokenizerFast) -> PreTrainedConfig:
    tokens = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    match spec.model:
        case PresetModel():
            shape = MODELS[spec.model.preset]
            positions = max(shape["max_position_embeddings"], spec.data.sequence_length)
            return _make_config({**shape, "max_position_embeddings": positions, **tokens})
        case ConfigModel():
            return _make_config({**tokens, **spec.model.config})
        case PretrainedModel():
            try:
                return AutoConfig.from_pretrained(spec.model.pretrained)
            except (OSError, ValueError) as error:
                raise ModelError(f"cannot load model.pretrained: {error}") from error
        case _:
            assert_never(spec.model)


def _make_config(fields: dict[str, Any]) -> PreTrainedConfig:
    fields = dict(fields)
    try:
        return AutoConfig.for_model(fields.pop("model_type"), **fields)
    except (ValueError, TypeError) as error:
        raise ModelError(f"model.config is no config of transformers: {error}") from error


def _check(config: PreTrainedConfig, spec: TrainSpec, tokenizer: PreTrainedTokenizerFast) -> None:
    if config.vocab_size < len(tokenizer):
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens, the model only {config.vocab_size}; "
            "take the model's own tokenizer or leave vocab_size out of model.config"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions < spec.data.sequence_length:
        raise ModelError(
            f"data.sequence_length {spec.data.sequence_length} is over the {positions} positions "
            "of the model"
        )
