"""An uploaded dataset: the announcement of the upload, and the dataset as the API shows it."""

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobs.schemas.body import MAX_SAFE_INTEGER, Body
from relora_core.data.file_formats import COMPRESSED, READABLE, TABLES, TEXTS, TOKENS
from relora_core.spec import TextPattern

SCHEME = "upload://"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

Sha256 = Annotated[
    str,
    Field(max_length=64, examples=[_DIGEST]),
    TextPattern(r"^[0-9a-f]{64}$", "64 hexadecimal digits in lower case"),
]


def _one_of(extensions: Iterable[str]) -> str:
    return "|".join(sorted(extension.removeprefix(".") for extension in extensions))


_PACKED = rf"({_one_of(TEXTS)})(\.({_one_of(COMPRESSED)}))?"
FILENAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,127}}\.({_PACKED}|{_one_of(TOKENS | TABLES)})$"


class DatasetStatus(StrEnum):
    UPLOADING = "uploading"
    READY = "ready"  # complete, with the announced SHA-256; the dataset never changes again
    DELETED = "deleted"  # the API hides it; the garbage collection removes its bytes


class NewDataset(Body):
    """A file that will be uploaded."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "wiki-2026",
                "filename": "wiki.jsonl.gz",
                "size": 52428800,
                "sha256": _DIGEST,
            }
        },
    )

    name: str = Field(min_length=1, max_length=200, description="A name for people.")
    filename: str = Field(
        max_length=150,
        json_schema_extra={"pattern": FILENAME},
        description=f"Its extension says what it holds: {READABLE}.",
    )
    size: Annotated[int, Field(ge=1, le=MAX_SAFE_INTEGER)] = Field(description="In bytes.")
    sha256: Sha256 = Field(description="Of the whole file, as `sha256sum` prints it.")

    @field_validator("filename")
    @classmethod
    def _known_format(cls, filename: str) -> str:
        if not re.fullmatch(FILENAME, filename):
            raise ValueError(
                f"cannot take {filename!r}: letters, digits, `.`, `_` and `-`, and an extension "
                f"that says what it holds; known formats are {READABLE}"
            )
        return filename


class UploadedDataset(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["ds_01k3h4v5w6x7y8z9a0b1c2d3e4"])
    uri: str = Field(
        description="What a spec says as `data.train.uri`.",
        examples=["upload://ds_01k3h4v5w6x7y8z9a0b1c2d3e4"],
    )
    name: str
    filename: str
    size: int = Field(description="In bytes.")
    sha256: str
    status: DatasetStatus = Field(description="Jobs may use it when it is `ready`.")
    received: int = Field(description="How many bytes have arrived: the offset of the next one.")
    created_at: datetime
    updated_at: datetime = Field(description="When bytes last arrived.")
