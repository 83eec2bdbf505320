"""Header names and values of tus 1.0, the protocol of resumable uploads (https://tus.io)."""

import base64
from collections.abc import Mapping

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
CONTENT_TYPE = "application/offset+octet-stream"

RESUMABLE, VERSIONS = "Tus-Resumable", "Tus-Version"
EXTENSION, MAX_SIZE = "Tus-Extension", "Tus-Max-Size"
LENGTH, METADATA = "Upload-Length", "Upload-Metadata"
OFFSET, EXPIRES = "Upload-Offset", "Upload-Expires"


def encode_metadata(values: Mapping[str, str]) -> str:
    """Return the value of `Upload-Metadata`: pairs of a key and a value in Base64."""
    pairs = ((key, base64.b64encode(value.encode()).decode()) for key, value in values.items())
    return ",".join(f"{key} {value}" for key, value in pairs)


def decode_metadata(header: str) -> dict[str, str]:
    """Read the value of `Upload-Metadata`. Raise `ValueError` if it is malformed."""
    pairs = [pair.strip().partition(" ") for pair in header.split(",")]
    values = {key: base64.b64decode(value, validate=True).decode() for key, _, value in pairs}
    if "" in values or len(values) < len(pairs):
        raise ValueError("a key is empty or comes twice")
    return values
