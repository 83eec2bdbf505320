"""Check that the sources of a run fit its task, its length, its tokenizer and each other."""

from collections.abc import Iterable

from relora_core.counted import counted
from relora_core.spec.data import STAGED_SCHEMES, DataSpec, HeldOut, MixedSource, Source
from relora_core.spec.model import (
    MASK_DOCUMENTS,
    ConfigModel,
    ModelSpec,
    NoTokenizer,
    no_document_mask,
    written_vocab_size,
)
from relora_core.spec.task import TaskName
from relora_core.spec.training import EvaluationSpec
from relora_core.spec.written import SpecConflict


def check_sources(sources: Iterable[tuple[str, Source]], task: TaskName) -> None:
    """Raise `SpecConflict` if the task cannot read one of the sources."""
    for path, source in sources:
        if task != "image_classification":
            continue
        if isinstance(source, MixedSource):
            raise SpecConflict("data.train", "images are read from one source, not a mixture")
        if len(source.uris) > 1:
            raise SpecConflict(
                f"{path}.uri", "images are read from one place; give one, not a list"
            )
        if source.place.startswith(STAGED_SCHEMES):
            raise SpecConflict(
                f"{path}.uri",
                "images are read from a folder that the trainer sees or from hf://, not from "
                f"{source.place.partition('://')[0]}://",
            )


def check_mixture(data: DataSpec, evaluation: EvaluationSpec, *, total_steps: int) -> None:
    """Raise `SpecConflict` if a stage begins after the run, or if two curves have one name."""
    for number, stage in enumerate(data.stages):
        if stage.from_step >= total_steps:
            raise SpecConflict(
                f"data.stages.{number}.from_step",
                f"must be less than the {counted(total_steps, 'step')} of training; "
                f"got {stage.from_step}",
            )
    for source in data.mixture if isinstance(data.validation, HeldOut) else ():
        if source.name in evaluation.sets:
            raise SpecConflict(
                f"evaluation.sets.{source.name}",
                "is the name of a source in data.train, whose held-out part is such a set",
            )


def check_document_mask(data: DataSpec, model: ModelSpec) -> None:
    """Raise `SpecConflict` if the model is not known to keep documents apart."""
    model_type = model.config["model_type"] if isinstance(model, ConfigModel) else None
    if data.document_mask and model_type is not None and model_type not in MASK_DOCUMENTS:
        raise SpecConflict("data.document_mask", no_document_mask(model_type))


def check_token_ids(
    sources: Iterable[tuple[str, Source]], model: ModelSpec, tokenizer: NoTokenizer
) -> None:
    """Raise `SpecConflict` if a run without a tokenizer cannot read its data as token ids."""
    vocab_size, eos = written_vocab_size(model), tokenizer.eos_token_id
    if vocab_size is None:
        raise SpecConflict(
            "tokenizer.eos_token_id",
            "without a tokenizer the model must give the vocabulary size; set "
            "model.config.vocab_size or take a preset",
        )
    if eos >= vocab_size:
        raise SpecConflict(
            "tokenizer.eos_token_id",
            f"must be less than the vocabulary size {vocab_size}; got {eos}",
        )
    for path, source in sources:
        if not source.holds_tokens:
            raise SpecConflict(
                f"{path}.uri",
                "text needs a tokenizer; give *.npy or *.bin, or another `tokenizer`",
            )
