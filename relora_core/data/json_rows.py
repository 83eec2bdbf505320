"""Read rows of JSON one at a time: one object a line, or the items of one array."""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from relora_core.data.content import DOCUMENT_BYTES, lines, too_long
from relora_core.data.rows import BadRow, Row, read_row
from relora_core.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = 16  # characters: an error this close to the end of the read text may be a cut-off token
TOO_DEEP = "is nested too deeply"


def read_json(content: Iterator[bytes], file: Path, *, text_field: str) -> Iterator[Row]:
    """Yield the rows of a file: an array if the file begins with `[`, else one row a line."""
    first = next(content, b"")
    content = chain([first], content)
    if first.lstrip().startswith(b"["):
        return _read_array(content, file, text_field=text_field)
    return _read_lines(content, file, text_field=text_field)


def _read_lines(content: Iterator[bytes], file: Path, *, text_field: str) -> Iterator[Row]:
    for number, line in enumerate(lines(content, file), start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            yield BadRow(where, f"is not JSON: {error}")
        except RecursionError:
            yield BadRow(where, TOO_DEEP)
        else:
            yield read_row(row, text_field=text_field, where=where)


def _read_array(content: Iterator[bytes], file: Path, *, text_field: str) -> Iterator[Row]:
    # A byte that is not UTF-8 becomes a lone surrogate, which `read_row` refuses.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = _Text(map(decoder.decode, content), file)
    for number, row in enumerate(_items(text), start=1):
        yield read_row(row, text_field=text_field, where=f"{file}, item {number}")


def _items(text: "_Text") -> Iterator[object]:
    text.take()  # the bracket
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]" and text.take() != ",":
            raise text.broken("after an item comes a comma or the closing bracket")
    text.take()
    if text.peek():
        raise text.broken("something follows the closing bracket; a file is one array, or lines")


class _Text:
    """A JSON text that is read piece by piece as it is needed."""

    def __init__(self, pieces: Iterator[str], file: Path) -> None:
        self._pieces = pieces
        self._file = file
        self._text = ""
        self._at = self._before = 0
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._text) or not self._read_more():
                return self._text[self._at : self._at + 1]

    def take(self) -> str:
        sign = self.peek()
        self._at += len(sign)
        return sign

    def value(self) -> object:
        """Read and return the JSON value that begins here."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except RecursionError as error:
                raise self.broken(f"it {TOO_DEEP}") from error
            except json.JSONDecodeError as error:
                if self._is_broken(error) or not self._read_more():
                    raise self.broken(error.msg) from error
            else:
                if end < len(self._text) or not self._read_more():
                    self._at = end
                    return value

    def broken(self, reason: str) -> DataError:
        place = self._before + self._at
        return DataError(f"{self._file} is not a JSON array at character {place:,}: {reason}")

    def _is_broken(self, error: json.JSONDecodeError) -> bool:
        """Return whether the error stays even if more text is read."""
        cut = error.msg.startswith("Unterminated string")
        return not cut and error.pos < len(self._text) - _TOKEN

    def _read_more(self) -> bool:
        """Read at least as much text as is left, so that a long value is not parsed too often.

        Return whether there was any.
        """
        rest = self._text[self._at :]
        pieces, size = [rest], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size > len(rest):
                break
        if len(rest) > DOCUMENT_BYTES:
            raise too_long(f"an item of {self._file}")
        self._before += self._at
        self._text, self._at = "".join(pieces), 0
        return size > 0
