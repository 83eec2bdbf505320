"""A row of a source: its text, or the reason why it has none."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BadRow:
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


Row = str | BadRow


def read_row(row: object, *, text_field: str, where: str) -> Row:
    """Return the text of a decoded row, or a `BadRow` that says why there is none."""
    if not isinstance(row, Mapping):
        return BadRow(where, "is not an object with fields")
    if text_field not in row:
        fields = ", ".join(str(field) for field in row)
        return BadRow(where, f"has no field {text_field!r}; it has: {fields}")
    text = row[text_field]
    if not isinstance(text, str):
        return BadRow(where, f"field {text_field!r} is {type(text).__name__}, not text")
    if not text.isascii() and _has_lone_surrogate(text):
        return BadRow(where, f"field {text_field!r} is not valid Unicode")
    return text


def _has_lone_surrogate(text: str) -> bool:
    """Return whether the text has half a character, which cannot be encoded as UTF-8.

    JSON can contain one as an escape sequence.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
