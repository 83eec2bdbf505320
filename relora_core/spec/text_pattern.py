"""A text pattern whose error message describes the pattern in words."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_wrap_validator_function


@dataclass(frozen=True)
class TextPattern:
    """A pattern for a `str` in `Annotated`, to be placed after the bounds.

    `words` follow "must be" in the error message.
    """

    regex: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text: Any = {**handler(source), "pattern": self.regex}
        return no_info_wrap_validator_function(self._validate, text)

    def _validate(self, value: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError as error:
            if error.errors()[0]["type"] != "string_pattern_mismatch":
                raise
        raise PydanticCustomError("text_pattern", "must be {words}", {"words": self.words})
