import struct
import zlib

import pytest

from benchmarks.lab.text.r_data import character_vectors


def stored(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + zlib.compress(content)


def vector(strings: list[str | None], kind: int = 16) -> bytes:
    header = b"X\n" + struct.pack(">iii", 3, 0x040201, 0x030500) + struct.pack(">i", 5) + b"UTF-8"
    items = [string_of(string) for string in strings]
    return header + struct.pack(">ii", kind, len(items)) + b"".join(items)


def string_of(string: str | None) -> bytes:
    flags = 0x00040009  # CHARSXP of ASCII
    if string is None:
        return struct.pack(">ii", flags, -1)
    return struct.pack(">ii", flags, len(string.encode())) + string.encode()


def test_each_object_is_a_list_of_lines() -> None:
    database = stored(vector(["EMMA", "", "By Jane Austen"])) + stored(vector(["é", None]))
    assert list(character_vectors(database)) == [["EMMA", "", "By Jane Austen"], ["é", ""]]


@pytest.mark.parametrize("content", [b"RDX3\n", vector([], kind=13)], ids=["format", "integers"])
def test_another_format_or_type_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not "):
        list(character_vectors(stored(content)))
