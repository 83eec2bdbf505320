"""The spec of the model and of the tokenizer."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from relora_core.presets import VISION_MODELS, preset_config, preset_names
from relora_core.spec.accepted import was_accepted
from relora_core.spec.part import Document, Line, Spec, Text, having, one_of
from relora_core.spec.task import TaskName
from relora_core.suggestions import no_such


class PresetModel(Spec):
    preset: str = Field(
        max_length=200,
        description="The name of a model that `relora presets list` prints, such as llama_130m.",
    )

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in preset_names():
            raise ValueError(no_such("preset", preset, preset_names()))
        return preset

    @property
    def task(self) -> TaskName:
        """The task of the preset."""
        return "image_classification" if self.preset in VISION_MODELS else "causal_lm"


def check_no_kernels(config: object) -> None:
    """Raise `ValueError` if a config names a kernel on the Hub, which is code that would be run."""
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if str(key).endswith("_implementation") and isinstance(value, str) and "/" in value:
            raise ValueError(
                f"{key} {value!r} names code on the Hub, and none is run; leave it out"
            )
        check_no_kernels(value)


# The types of models that keep documents apart if positions restart: their masks follow the
# positions. `tests/relora_core/tasks/test_document_mask.py` tries each.
MASK_DOCUMENTS = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gpt_neox",
    "gpt2",
    "gemma2",
    "gemma3_text",
    "granite",
    "olmo2",
    "phi3",
    "starcoder2",
)


def no_document_mask(model_type: str) -> str:
    """Return why a model of this type cannot mask documents, as text."""
    return (
        f"models of type {model_type} are not known to keep documents apart; take one of "
        f"{', '.join(MASK_DOCUMENTS)}, or leave it out"
    )


class ConfigModel(Spec):
    config: Document = Field(
        max_length=1000,
        description="A Hugging Face model config with its `model_type`. The vocabulary size is "
        "taken from the tokenizer, and the labels from the images.",
    )

    @field_validator("config")
    @classmethod
    def _has_model_type(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if not isinstance(config.get("model_type"), str):
            raise ValueError("needs a `model_type`, e.g. llama")
        if not was_accepted(info):
            check_no_kernels(config)
        return config


class PretrainedModel(Spec):
    pretrained: Text = Field(
        description="The name or folder of a Hugging Face model. In the service also "
        "job://JOB_ID/final.",
    )
    init: Literal["weights", "random"] = Field(
        default="weights",
        description="Whether to start from its weights, or from its shape with random weights.",
    )


ModelSpec = Annotated[
    Annotated[PresetModel, having("preset")]
    | Annotated[ConfigModel, having("config")]
    | Annotated[PretrainedModel, having("pretrained")],
    one_of("preset", "config", "pretrained"),
]


class TokenizerTraining(Spec):
    """Train a tokenizer on the training data."""

    vocab_size: int = Field(
        default=8192,
        ge=257,
        le=10**7,
        description="Tokens of the byte-level BPE; 256 of them are the bytes.",
    )


class TrainedTokenizer(Spec):
    train: TokenizerTraining = TokenizerTraining()


class PretrainedTokenizer(Spec):
    pretrained: Text = Field(
        description="The name or folder of a Hugging Face tokenizer, or the tokenizer.json file of "
        "one."
    )
    eos_token: Line | None = Field(
        default=None,
        description="The token that ends a document, for example </s>. Default: that of the "
        "tokenizer.",
    )


class NoTokenizer(Spec):
    eos_token_id: int = Field(
        ge=0,
        lt=2**32,
        description="No tokenizer: the data are token ids, and this id ends a document.",
    )


TokenizerSpec = Annotated[
    Annotated[TrainedTokenizer, having("train")]
    | Annotated[PretrainedTokenizer, having("pretrained")]
    | Annotated[NoTokenizer, having("eos_token_id")],
    one_of("train", "pretrained", "eos_token_id"),
]


def written_vocab_size(model: ModelSpec) -> int | None:
    """Return the vocabulary size in the spec of the model, or None if it has none."""
    match model:
        case PresetModel():
            size = preset_config(model.preset).get("vocab_size")
        case ConfigModel():
            size = model.config.get("vocab_size")
        case PretrainedModel():
            return None
    return size if type(size) is int and size > 0 else None


def with_own_tokenizer(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the tokenizer of the pretrained weights to a written spec that names no tokenizer."""
    model = document.get("model")
    written = model.model_dump() if isinstance(model, PretrainedModel) else model
    match written:
        case {"pretrained": str(name), **rest} if name and rest.get("init", "weights") == "weights":
            of_images = document.get("task", "causal_lm") == "image_classification"
            if not of_images and "tokenizer" not in document:
                return {**document, "tokenizer": {"pretrained": name}}
    return document
