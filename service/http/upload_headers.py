"""The headers of tus 1.0: read them from requests, write them to responses, and describe them."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Annotated, Any

from fastapi import Depends, Header, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.datasets import DatasetStatus, NewDataset, UploadedDataset
from relora_core.spec.error_messages import in_words
from service.schemas import tus

_VERSION = Header(
    alias=tus.RESUMABLE,
    description="The version of tus.",
    json_schema_extra={"enum": [tus.VERSION]},
)
TusVersion = Annotated[str, _VERSION]
OptionalTusVersion = Annotated[str | None, _VERSION]
Length = Annotated[
    int,
    Header(
        alias=tus.LENGTH, ge=1, le=MAX_SAFE_INTEGER, description="The size of the file in bytes."
    ),
]
Metadata = Annotated[
    str,
    Header(
        alias=tus.METADATA,
        max_length=4096,
        description="Keys and their values in Base64: `filename`, whose extension says the "
        "format, `sha256` of the whole file in hex, and `name` (default: the file name).",
    ),
]
Offset = Annotated[
    int,
    Header(
        alias=tus.OFFSET,
        ge=0,
        le=MAX_SAFE_INTEGER,
        description="The offset of the body's first byte.",
    ),
]

CAPABILITIES: dict[str, Any] = {
    tus.VERSIONS: {"schema": {"type": "string"}},
    tus.EXTENSION: {"schema": {"type": "string"}},
    tus.MAX_SIZE: {"schema": {"type": "integer"}},
}
POSITION: dict[str, Any] = {
    tus.OFFSET: {"schema": {"type": "integer"}, "description": "The offset of the next byte."},
    tus.EXPIRES: {
        "schema": {"type": "string"},
        "description": "When an unfinished upload is removed, if no more bytes arrive.",
    },
}
UPLOAD: dict[str, Any] = {
    **POSITION,
    tus.LENGTH: {"schema": {"type": "integer"}, "description": "The size of the whole file."},
    tus.METADATA: {"schema": {"type": "string"}, "description": "Name, file name and sha256."},
}


def _check_version(version: TusVersion) -> None:
    if version != tus.VERSION:
        detail = f"Uploads speak tus {tus.VERSION}: send `{tus.RESUMABLE}: {tus.VERSION}`."
        raise HTTPException(412, detail, {tus.VERSIONS: tus.VERSION})


def _check_version_if_given(version: OptionalTusVersion = None) -> None:
    if version is not None:
        _check_version(version)


tus_only = Depends(_check_version)
tus_or_plain = Depends(_check_version_if_given)


def _new_dataset(length: Length, metadata: Metadata) -> NewDataset:
    try:
        fields = tus.decode_metadata(metadata)
    except ValueError:
        message = "must be pairs `key BASE64` with commas between, each key once"
        problem = {"type": "value_error", "loc": ("header", tus.METADATA), "msg": message}
        raise RequestValidationError([problem]) from None
    document = {"name": fields.get("filename"), **fields, "size": length}
    try:
        return NewDataset.model_validate(document)
    except ValidationError as error:
        problems = in_words(error.errors(), document, NewDataset)
        raise RequestValidationError(
            [
                {"type": "value_error", "loc": ("header", item.path), "msg": item.message}
                for item in problems
            ]
        ) from None


NewUpload = Annotated[NewDataset, Depends(_new_dataset)]


def capabilities(max_size: int) -> dict[str, str]:
    """Return the headers that say what uploads support."""
    return {tus.VERSIONS: tus.VERSION, tus.EXTENSION: tus.EXTENSIONS, tus.MAX_SIZE: str(max_size)}


def upload_headers(dataset: UploadedDataset, expires_seconds: float) -> dict[str, str]:
    """Return the headers that describe an upload and its offset."""
    metadata = {"name": dataset.name, "filename": dataset.filename, "sha256": dataset.sha256}
    return {
        **position(dataset, expires_seconds),
        tus.LENGTH: str(dataset.size),
        tus.METADATA: tus.encode_metadata(metadata),
    }


def position(dataset: UploadedDataset, expires_seconds: float) -> dict[str, str]:
    """Return the offset where an upload continues, and when it expires if it is unfinished."""
    headers = {tus.OFFSET: str(dataset.received)}
    if dataset.status is DatasetStatus.UPLOADING:
        expires = dataset.updated_at + timedelta(seconds=expires_seconds)
        headers[tus.EXPIRES] = format_datetime(expires, usegmt=True)
    return headers
