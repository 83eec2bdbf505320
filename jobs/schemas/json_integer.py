"""Integers as JSON Schema defines them: 80 and 80.0, not "80" or true."""

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise PydanticKnownError("int_type")
    return value


# It stands after the bounds of a type: pydantic describes only those before a validator.
json_integer = BeforeValidator(_number)
