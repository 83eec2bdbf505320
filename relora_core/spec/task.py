"""Check that a spec changes only fields that belong to its task."""

from functools import reduce
from typing import Literal, get_args

from pydantic import BaseModel

from relora_core.spec.written import SpecConflict

TaskName = Literal["causal_lm", "image_classification"]

_FIELDS: dict[TaskName, tuple[str, ...]] = {
    "causal_lm": (
        "tokenizer",
        "data.sequence_length",
        "data.document_mask",
        "data.train.text_field",
        "data.train.token_dtype",
        "data.validation.text_field",
        "data.validation.token_dtype",
        "training.tokens",
        "evaluation.tokens",
    ),
    "image_classification": (
        "data.image_size",
        "data.augmentation",
        "data.train.image_field",
        "data.train.label_field",
        "data.validation.image_field",
        "data.validation.label_field",
        "evaluation.images",
    ),
}


def check_fields(spec: BaseModel, task: TaskName) -> None:
    """Raise `SpecConflict` if a field of another task differs from its default."""
    for other in get_args(TaskName):
        for path in _FIELDS[other] if other != task else ():
            if _is_changed(spec, path):
                raise SpecConflict(
                    path, f"belongs to task {other}; leave it out, or write `task: {other}`"
                )


def _is_changed(spec: BaseModel, path: str) -> bool:
    """Return whether a field differs from its default. A written default does not count."""
    *parents, name = path.split(".")
    part: object = reduce(getattr, parents, spec)
    field = type(part).model_fields.get(name) if isinstance(part, BaseModel) else None
    return field is not None and getattr(part, name) != field.default
