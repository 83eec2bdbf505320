"""Find the shape of a spec's model."""

from typing import Any, assert_never

from relora_core.errors import ModelError
from relora_core.presets import preset_config
from relora_core.shapes import FAMILIES, ModelShape, model_shape
from relora_core.shapes.names import check_names
from relora_core.spec import (
    DEFAULT_IMAGE_SIZE,
    ConfigModel,
    NoTokenizer,
    PresetModel,
    PretrainedModel,
    PretrainedTokenizer,
    TrainedTokenizer,
    TrainSpec,
)


def shape_of(spec: TrainSpec) -> ModelShape:
    """Return the shape of the model, from the spec alone if that has the shape of a known family.

    A pretrained model, an unknown family and the method `control` are read with transformers. Raise
    `ModelError` if transformers is not installed or the model cannot be read.
    """
    config = _written_config(spec)
    if config and not needs_trainer(spec):
        check_names(config, spec.task)
        return model_shape(config)
    try:
        from relora_core.estimate.meta import shape_from_transformers
    except ImportError as error:
        raise ModelError(
            "to estimate a model by its name, a family without a known shape or the method "
            "control needs the trainer's packages: pip install -e '.[trainer]' in relora's folder"
        ) from error
    return shape_from_transformers(spec, _of_the_data(spec))


def needs_trainer(spec: TrainSpec) -> bool:
    """Return whether the shape is not in the spec, so that transformers and torch are needed."""
    config = _written_config(spec)
    return config is None or config["model_type"] not in FAMILIES or spec.method.changes_shape


def _of_the_data(spec: TrainSpec) -> dict[str, Any]:
    """Return the fields that the model takes from the data: image size or vocabulary size.

    A pretrained tokenizer is assumed to have the model's vocabulary size, and the number of labels
    to be the model's default.
    """
    if spec.task == "image_classification":
        return {"image_size": spec.data.image_size or DEFAULT_IMAGE_SIZE}
    match spec.tokenizer:
        case TrainedTokenizer():
            return {"vocab_size": spec.tokenizer.train.vocab_size}
        case PretrainedTokenizer() | NoTokenizer():
            return {}
        case _:
            assert_never(spec.tokenizer)


def _written_config(spec: TrainSpec) -> dict[str, Any] | None:
    """Return the config in the spec as the trainer makes it, or None for a pretrained model."""
    match spec.model:
        case PresetModel():
            return {**preset_config(spec.model.preset), **_of_the_data(spec)}
        case ConfigModel():
            return {**_of_the_data(spec), **spec.model.config}
        case PretrainedModel():
            return None
        case _:
            assert_never(spec.model)
