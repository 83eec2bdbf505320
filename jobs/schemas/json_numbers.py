"""Validators for JSON numbers: 80 and 80.0 are the same integer; "80" and true are no numbers."""

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

MAX_SAFE_INTEGER = 2**53 - 1  # the largest integer that every JSON reader represents exactly


def _refuse_other_types(error: PydanticKnownError) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, bool | str):
            raise error
        return value

    return BeforeValidator(check)


# Put them after the bounds of a type: the JSON Schema has only the bounds before a validator.
json_integer = _refuse_other_types(PydanticKnownError("int_type"))
json_number = _refuse_other_types(PydanticKnownError("float_type"))
