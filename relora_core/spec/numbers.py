"""Refuse true and false as numbers, as in JSON. In Python, True counts as 1."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationInfo
from pydantic_core import PydanticKnownError
from pydantic_core.core_schema import with_info_before_validator_function

from relora_core.spec.accepted import was_accepted


def without_booleans(schema: Any) -> Any:
    """Return the pydantic schema with numbers that refuse true and false."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(without_booleans, schema))
    if not isinstance(schema, dict) or _is_done(schema):
        return schema
    refused = _refused(schema)
    if refused is not None:
        return with_info_before_validator_function(refused, schema)
    return {key: without_booleans(part) for key, part in schema.items()}


def _is_done(schema: dict[str, Any]) -> bool:
    """Return whether the schema already refuses them, because it was built before for a part."""
    function = schema.get("function")
    return isinstance(function, dict) and isinstance(function.get("function"), _Booleans)


def _refused(schema: dict[str, Any]) -> "_Booleans | None":
    match schema:
        case {"type": "int"}:
            return _Booleans(PydanticKnownError("int_type"))
        case {"type": "float"}:
            return _Booleans(PydanticKnownError("float_type"))
        case {"type": "literal", "expected": [1]}:
            return _Booleans(PydanticKnownError("literal_error", {"expected": "1"}))
    return None


@dataclass(frozen=True)
class _Booleans:
    error: PydanticKnownError

    def __call__(self, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and not was_accepted(info):
            raise self.error
        return value
