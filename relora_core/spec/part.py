"""The base class of all parts of the spec, and field types that they share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationInfo,
)
from pydantic_core import CoreSchema

from relora_core.spec.accepted import was_accepted
from relora_core.spec.numbers import refusing
from relora_core.spec.written import MAX_BYTES, MAX_DEPTH, check_written

# The bounds are far above what a run needs. They only keep sums and products small.
Steps = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=1, le=10**7)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]  # a name, a path or an address
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _one_line(text: str, info: ValidationInfo) -> str:
    if _CONTROL.search(text) and not was_accepted(info):
        raise ValueError("must be one line of text, without control characters")
    return text


def _checked(document: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not was_accepted(info):
        check_written(document)
    return document


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Document = Annotated[
    dict[str, Any],
    AfterValidator(_checked),
    Field(json_schema_extra={"x-max-depth": MAX_DEPTH, "x-max-bytes": MAX_BYTES}),
]


@dataclass(frozen=True)
class SpecWarning:
    """A warning about a field of a valid spec."""

    path: str
    message: str
    code: str = "field_ignored"  # the code of the trainer's warning

    def __str__(self) -> str:
        return f"{self.path} {self.message}"


@dataclass(frozen=True)
class SpecWarnings:
    """The warnings about one spec. They do not affect equality: any two of these are equal."""

    items: tuple[SpecWarning, ...] = field(default=(), compare=False)


class Spec(BaseModel):
    """A part of the spec. It is immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return refusing(handler(source), bool)


def by_name(union: object) -> dict[str, Any]:
    """Return the classes of a union, each by the one value of its field `name`."""
    return {get_args(each.model_fields["name"].annotation)[0]: each for each in get_args(union)}


def one_of(*keys: str) -> Discriminator:
    """Choose the variant of a union by the one key of `keys` that is present.

    The error names all keys. The tag of a variant differs from every field name, so that paths of
    errors are unambiguous (see `having`).
    """

    def present(value: object) -> str | None:
        if isinstance(value, BaseModel):
            found = [key for key in keys if key in type(value).model_fields]
        else:
            found = [key for key in keys if isinstance(value, Mapping) and key in value]
        return _tag(found[0]) if len(found) == 1 else None

    choices = ", ".join(f"`{key}`" for key in keys)
    return Discriminator(
        present,
        custom_error_type="one_of",
        custom_error_message=f"give exactly one of {choices}",
    )


def having(key: str) -> Tag:
    """Return the tag of the variant that `one_of` chooses by this key."""
    return Tag(_tag(key))


def _tag(key: str) -> str:
    return f"the one with {key}"
