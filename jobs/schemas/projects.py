"""The name of a project."""

from typing import Annotated

from pydantic import Field

ProjectName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        max_length=63,
        description="Lowercase letters, digits and dashes; it cannot be changed.",
        examples=["speech-team"],
    ),
]
