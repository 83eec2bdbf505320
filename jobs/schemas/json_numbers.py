"""Numbers as JSON has them: 80 and 80.0 are the same integer, and "80" and true are none."""

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

MAX_WHOLE = 2**53 - 1  # the largest whole number that all readers of JSON have exactly


def _integer(value: object) -> object:
    if isinstance(value, bool | str):
        raise PydanticKnownError("int_type")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise PydanticKnownError("float_type")
    return value


# They stand after the bounds of a type: pydantic describes only those before a validator.
json_integer = BeforeValidator(_integer)
json_number = BeforeValidator(_number)
