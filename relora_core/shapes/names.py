"""Check that transformers knows the names of the fields in a config, and names among its values."""

from collections.abc import Iterable, Mapping
from typing import Any

from relora_core.errors import ModelError
from relora_core.shapes.known_names import (
    ACTIVATIONS,
    BESIDE_FIELDS,
    BIDIRECTIONAL,
    FIELDS,
    MODEL_TYPES,
    OF_ALL,
    ROPE_TYPES,
)
from relora_core.suggestions import nearest, no_such

Config = Mapping[str, Any]
_OF_ACTIVATIONS = ("activation_function", "hidden_act", "hidden_activation")
_OF_ROTARY_EMBEDDINGS = ("rope_parameters", "rope_scaling")


def check_names(config: Config, task: str) -> None:
    """Raise `ModelError` if transformers does not know a model type, a field or a value."""
    model_type = config["model_type"]
    if model_type not in MODEL_TYPES[task]:
        raise no_model_type(model_type, MODEL_TYPES[task])
    check_direction(config, task)
    if model_type in FIELDS:
        known = {*FIELDS[model_type], *OF_ALL}
        check_fields(config, known, unknown=config.keys() - known)
    check_values(config)


def no_model_type(model_type: str, known: Iterable[str]) -> ModelError:
    return ModelError(f"model.config: {no_such('model_type', model_type, known)}")


def check_direction(config: Config, task: str) -> None:
    """Raise `ModelError` if the model would see the tokens that it has to predict."""
    sees_all = config["model_type"] in BIDIRECTIONAL and not config.get("is_decoder")
    if task == "causal_lm" and sees_all:
        raise ModelError(
            f"model.config: a {config['model_type']} sees the tokens that it is to predict; set "
            "is_decoder to true, or take a causal model such as llama"
        )


def check_fields(
    config: Config, known: Iterable[str], *, unknown: Iterable[str], within: str = ""
) -> None:
    """Raise `ModelError` for the first of the `unknown` fields that is not known otherwise.

    `within` is the part of the config that has the fields.
    """
    for name in sorted(set(unknown) - BESIDE_FIELDS):
        close = nearest(name, known)
        advice = f"did you mean `{close}`?" if close else "leave it out"
        raise ModelError(
            f"model.config: {within or config['model_type']} has no field `{name}`; {advice}"
        )


def check_values(config: Config, path: str = "model.config") -> None:
    """Raise `ModelError` if transformers does not know an activation or a rotary embedding.

    `path` is the path of the config in the spec.
    """
    for field in _OF_ACTIVATIONS:
        if config.get(field) is not None:
            _check_name(f"{path}.{field}", "activation", config[field], ACTIVATIONS)
    for field in _OF_ROTARY_EMBEDDINGS if config.get("model_type") in FIELDS else ():
        if config.get(field) is not None:
            _check_rotary(f"{path}.{field}", config[field])
    for name, part in config.items():
        if isinstance(part, Mapping):
            check_values(part, f"{path}.{name}")


def _check_name(path: str, kind: str, name: object, known: Iterable[str]) -> None:
    if not isinstance(name, str):
        raise ModelError(f"{path}: must be the name of an {kind}, such as {next(iter(known))}")
    if name not in known:
        raise ModelError(f"{path}: {no_such(kind, name, known)}")


def _check_rotary(path: str, rope: object) -> None:
    """Check the rotary embedding of all layers, or of each type of layers by its name."""
    if not isinstance(rope, Mapping):
        raise ModelError(f"{path}: must be an object with `rope_type` and its fields")
    of_layers = {name: part for name, part in rope.items() if isinstance(part, Mapping)}
    for name, part in of_layers.items():
        _check_rotary(f"{path}.{name}", part)
    if of_layers:
        return
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    _check_name(path, "rope_type", rope_type, ROPE_TYPES)
    missing = [field for field in ROPE_TYPES[rope_type] if rope.get(field) is None]
    if missing:
        raise ModelError(f"{path}: rope_type {rope_type} needs {', '.join(missing)}")
    if rope_type == "default" and "factor" in rope:
        raise ModelError(f"{path}: a `factor` needs a `rope_type`, such as linear or yarn")
