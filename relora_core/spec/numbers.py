"""Refuse values of other types as numbers, as JSON does. In Python, True counts as 1."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationInfo
from pydantic_core import PydanticKnownError
from pydantic_core.core_schema import with_info_before_validator_function

from relora_core.spec.accepted import was_accepted


def refusing(schema: Any, *types: type) -> Any:
    """Return the pydantic schema with numbers that refuse values of these types.

    A spec that was accepted before is read as it was stored.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(refusing(part, *types) for part in schema)
    if not isinstance(schema, dict) or _is_done(schema):
        return schema
    error = _error(schema)
    if error is not None:
        return with_info_before_validator_function(_Refusal(types, error), schema)
    return {key: refusing(part, *types) for key, part in schema.items()}


def _is_done(schema: dict[str, Any]) -> bool:
    """Return whether the schema already refuses them, because it was built before for a part."""
    function = schema.get("function")
    return isinstance(function, dict) and isinstance(function.get("function"), _Refusal)


def _error(schema: dict[str, Any]) -> PydanticKnownError | None:
    """Return the error of a value that is not of the type of a number; None for other schemas."""
    match schema:
        case {"type": "int"}:
            return PydanticKnownError("int_type")
        case {"type": "float"}:
            return PydanticKnownError("float_type")
        case {"type": "literal", "expected": [1]}:
            return PydanticKnownError("literal_error", {"expected": "1"})
    return None


@dataclass(frozen=True)
class _Refusal:
    types: tuple[type, ...]
    error: PydanticKnownError

    def __call__(self, value: object, info: ValidationInfo) -> object:
        if isinstance(value, self.types) and not was_accepted(info):
            raise self.error
        return value
