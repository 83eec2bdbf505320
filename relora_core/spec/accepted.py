"""Read a spec that was accepted before: what came since holds for new ones alone."""

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationInfo
from pydantic_core import SchemaValidator

Model = TypeVar("Model", bound=BaseModel)

_ACCEPTED = {"accepted": True}
_BOUNDS = {"ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"}


def was_accepted(info: ValidationInfo) -> bool:
    """Whether this validation reads a spec that was accepted before."""
    return info.context == _ACCEPTED


def read_accepted(model: type[Model], document: object) -> Model:
    """Read a document without the bounds and the rules that may have come since.

    Raises `ValidationError` for what this version cannot read at all.
    """
    read: Model = _reader(model).validate_python(document, context=_ACCEPTED)
    return read


@cache
def _reader(model: type[BaseModel]) -> SchemaValidator:
    schema = _without_bounds(model.__pydantic_core_schema__)
    return SchemaValidator(schema, _use_prebuilt=False)  # those of its parts have the bounds


def _without_bounds(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(map(_without_bounds, schema))
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_bounds(part)
        for key, part in schema.items()
        if key not in _BOUNDS or isinstance(part, dict)  # a field may have such a name
    }
