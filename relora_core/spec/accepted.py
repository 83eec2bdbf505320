"""Read a spec that an earlier version accepted. Newer bounds and rules are only for new specs."""

from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationInfo
from pydantic_core import SchemaValidator

Model = TypeVar("Model", bound=BaseModel)

_ACCEPTED = {"accepted": True}
_BOUNDS = {"ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"}


def was_accepted(info: ValidationInfo) -> bool:
    """Return whether this validation reads a spec that was accepted before."""
    return info.context == _ACCEPTED


def read_accepted(model: type[Model], document: object) -> Model:
    """Read a document without the bounds and rules that were possibly added since.

    Raise `ValidationError` if this version cannot read the document at all.
    """
    read: Model = _reader(model).validate_python(document, context=_ACCEPTED)
    return read


@cache
def _reader(model: type[BaseModel]) -> SchemaValidator:
    schema = _without_bounds(model.__pydantic_core_schema__)
    return SchemaValidator(schema, _use_prebuilt=False)  # prebuilt ones of parts have the bounds


def _without_bounds(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(map(_without_bounds, schema))
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_bounds(part)
        for key, part in schema.items()
        if key not in _BOUNDS or isinstance(part, dict)  # a dict is a field of such a name
    }
