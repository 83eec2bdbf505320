"""Whether transformers knows the names in a model's config."""

from collections.abc import Iterable, Mapping
from typing import Any

from relora_core.errors import ModelError
from relora_core.shapes.known_names import (
    BESIDE_FIELDS,
    BIDIRECTIONAL,
    FIELDS,
    MODEL_TYPES,
    OF_ALL,
)
from relora_core.suggestions import nearest, no_such

Config = Mapping[str, Any]


def check_names(config: Config, task: str) -> None:
    """Raise `ModelError` for a model type or a field that transformers does not know."""
    model_type = config["model_type"]
    if model_type not in MODEL_TYPES[task]:
        raise no_model_type(model_type, MODEL_TYPES[task])
    check_direction(config, task)
    if model_type in FIELDS:
        known = {*FIELDS[model_type], *OF_ALL}
        check_fields(config, known, unknown=config.keys() - known)


def no_model_type(model_type: str, known: Iterable[str]) -> ModelError:
    return ModelError(f"model.config: {no_such('model_type', model_type, known)}")


def check_direction(config: Config, task: str) -> None:
    """Raise `ModelError` for a model that would see the tokens that it is to predict."""
    sees_all = config["model_type"] in BIDIRECTIONAL and not config.get("is_decoder")
    if task == "causal_lm" and sees_all:
        raise ModelError(
            f"model.config: a {config['model_type']} sees the tokens that it is to predict; set "
            "is_decoder to true, or take a causal model such as llama"
        )


def check_fields(
    config: Config, known: Iterable[str], *, unknown: Iterable[str], within: str = ""
) -> None:
    """Raise `ModelError` for the first of the `unknown` fields that means anything to a model.

    `within` is the part of the config that they are in.
    """
    for name in sorted(set(unknown) - BESIDE_FIELDS):
        close = nearest(name, known)
        advice = f"did you mean `{close}`?" if close else "leave it out"
        raise ModelError(
            f"model.config: {within or config['model_type']} has no field `{name}`; {advice}"
        )
