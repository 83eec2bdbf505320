"""What all parts of the spec have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationInfo

Steps = Annotated[int, Field(ge=1)]
# The context in which a spec is read that was accepted before: rules may have come since.
ACCEPTED = {"accepted": True}


def was_accepted(info: ValidationInfo) -> bool:
    """Whether this validation reads a spec that was accepted before."""
    return info.context == ACCEPTED


class SpecConflict(ValueError):
    """Fields that do not fit together; `path` is the one to change."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Remark:
    """What a person should know of a field as it was written; the spec is valid."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path} {self.message}"


@dataclass(frozen=True)
class Remarks:
    """Those on one spec. They are no part of what it says, so any two of these are equal."""

    items: tuple[Remark, ...] = field(default=(), compare=False)


class Spec(BaseModel):
    """A part of the spec: immutable, and a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def one_of(*keys: str) -> Discriminator:
    """Choose the variant by the one key that only it has, with an error that names them all."""

    def present(value: object) -> str | None:
        if isinstance(value, BaseModel):
            found = [key for key in keys if key in type(value).model_fields]
        else:
            found = [key for key in keys if isinstance(value, Mapping) and key in value]
        return found[0] if len(found) == 1 else None

    choices = ", ".join(f"`{key}`" for key in keys)
    return Discriminator(
        present,
        custom_error_type="one_of",
        custom_error_message=f"give exactly one of {choices}",
    )
