"""The base class of the bodies of requests."""

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from relora_core.spec.numbers import refusing

MAX_SAFE_INTEGER = 2**53 - 1  # the largest integer that every JSON reader represents exactly


class Body(BaseModel):
    """The body of a request. It is immutable, and an unknown field is an error.

    Numbers are those of JSON: 80 and 80.0 are the same integer; "80" and true are no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = refusing(handler(source), bool, str)
        return schema
