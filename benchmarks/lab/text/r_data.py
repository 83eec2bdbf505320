"""Read the character vectors of an R package's lazy-load database (`data/Rdata.rdb`).

The format is R's own: "Serialization Formats" in the manual "R Internals". Objects follow each
other; each is its length, then zlib data.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

CHARACTER_VECTOR = 16  # STRSXP
STRING = 9  # CHARSXP
TYPE_MASK = 0xFF
MISSING = -1  # the length of NA


def character_vectors(database: bytes) -> Iterator[list[str]]:
    """Yield each object of the database. All must be character vectors without attributes."""
    rest = database
    while rest:
        stream = zlib.decompressobj()
        content = stream.decompress(rest[4:])  # after the length of the unpacked object
        rest = stream.unused_data
        yield _character_vector(BytesIO(content))


def _character_vector(data: BytesIO) -> list[str]:
    if data.read(2) != b"X\n":
        raise ValueError("not R's binary serialization format")
    version = _integer(data)
    data.read(8)  # the versions of R that wrote it and that can read it
    if version >= 3:
        data.read(_integer(data))  # the encoding of strings whose flags do not say theirs
    if _integer(data) & TYPE_MASK != CHARACTER_VECTOR:
        raise ValueError("not a character vector")
    return [_string(data) for _ in range(_integer(data))]


def _string(data: BytesIO) -> str:
    if _integer(data) & TYPE_MASK != STRING:
        raise ValueError("not a string")
    length = _integer(data)
    return "" if length == MISSING else data.read(length).decode()


def _integer(data: BytesIO) -> int:
    (number,) = struct.unpack(">i", data.read(4))
    return int(number)
