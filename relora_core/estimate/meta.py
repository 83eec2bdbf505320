"""Read shapes with transformers: of pretrained models, of other families and of `control`.

A model is built on the meta device, without weights.
"""

from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from relora_core.errors import ModelError
from relora_core.lowrank.inject import require_linear_blocks
from relora_core.methods import build_method
from relora_core.models.build import AUTO_MODELS, make_config
from relora_core.optim.timeline import Timeline
from relora_core.shapes import FAMILIES, BlockActivations, Linear, ModelShape, model_shape
from relora_core.spec import Targets, TrainSpec


def shape_from_transformers(spec: TrainSpec, of_the_data: dict[str, Any]) -> ModelShape:
    """Return the shape of the model that the trainer builds.

    Raise `ModelError` if the model cannot be built or estimated.
    """
    config = make_config(spec, of_the_data)
    config = build_method(spec, Timeline.of(spec)).config(config, AUTO_MODELS[spec.task])
    return shape_of_config(spec, config)


def shape_of_config(spec: TrainSpec, config: PreTrainedConfig) -> ModelShape:
    """Return the shape of the model of `spec` that has this config.

    Raise `ModelError` if the model cannot be built or estimated.
    """
    if config.model_type in FAMILIES:
        return model_shape({**config.to_dict(), "num_labels": config.num_labels})
    if spec.task == "image_classification":
        raise ModelError(
            f"of image classifiers, only a vit can be estimated; the model is a {config.model_type}"
        )
    _require_sizes(config)
    model = _without_weights(config)
    if isinstance(spec.method, Targets):
        require_linear_blocks(model)
    return _read(model, config)


def _require_sizes(config: PreTrainedConfig) -> None:
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"):
        if not getattr(config, name, None):
            raise ModelError(
                "only transformers with attention can be estimated; "
                f"a {config.model_type} has no {name}"
            )


def _without_weights(config: PreTrainedConfig) -> PreTrainedModel:
    try:
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise ModelError(f"transformers builds no language model of it: {error}") from error
    return model


def _read(model: PreTrainedModel, config: PreTrainedConfig) -> ModelShape:
    linears = tuple(_linears(model))
    embeddings = _parameters(model, nn.Embedding)
    in_linears = sum(linear.weights * (not linear.tied) for linear in linears)
    biases = sum(linear.d_out for linear in linears if linear.bias)
    heads = config.num_attention_heads
    activations = _activations(linears, config.num_hidden_layers, heads)
    return ModelShape(
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        outputs=config.vocab_size,
        linears=linears,
        embeddings=embeddings,
        norms=model.num_parameters() - in_linears - biases - embeddings,
        eager=activations,
        compiled=activations,
    )


def _linears(model: PreTrainedModel) -> list[Linear]:
    embedded = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight = module.weight
            d_out, d_in = weight.T.shape if isinstance(module, Conv1D) else weight.shape
            bias = module.bias is not None
            found.append(Linear(name, d_out, d_in, bias=bias, tied=id(weight) in embedded))
    return found


def _parameters(model: PreTrainedModel, kind: type[nn.Module]) -> int:
    unique = {id(p): p for m in model.modules() if isinstance(m, kind) for p in m.parameters()}
    return sum(p.numel() for p in unique.values())


def _activations(linears: tuple[Linear, ...], layers: int, heads: int) -> BlockActivations:
    """Guess the activations: the output of each layer, and the inputs of a block's two norms."""
    in_blocks = [linear for linear in linears if linear.in_block]
    hidden = min(linear.d_in for linear in in_blocks)
    outputs = sum(linear.d_out for linear in in_blocks) // layers
    return BlockActivations(
        fp32=4 * hidden + heads, compute=outputs, normed=2 * hidden, casts=len(in_blocks) * hidden
    )
