"""The name of a project."""

from typing import Annotated

from pydantic import Field

from relora_core.spec import TextPattern

ProjectName = Annotated[
    str,
    Field(
        max_length=63,
        description="Lowercase letters, digits and hyphens; it cannot be changed.",
        examples=["speech-team"],
    ),
    TextPattern(
        r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        "lowercase letters, digits and hyphens, with a letter or a digit at both ends",
    ),
]
