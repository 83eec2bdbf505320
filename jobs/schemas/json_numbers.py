"""Numbers as JSON has them: 80 and 80.0 are the same integer, and "80" and true are none."""

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

MAX_SAFE_INTEGER = 2**53 - 1  # the largest whole number that all readers of JSON have exactly


def _refuse_other_types(error: PydanticKnownError) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, bool | str):
            raise error
        return value

    return BeforeValidator(check)


# They stand after the bounds of a type: pydantic describes only those before a validator.
json_integer = _refuse_other_types(PydanticKnownError("int_type"))
json_number = _refuse_other_types(PydanticKnownError("float_type"))
