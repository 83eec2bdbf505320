"""The Range header of RFC 9110, limited to what downloads need: one range of bytes."""

import re

ONE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
LARGEST = 2**63  # more than the bytes of any file


class RangeNotSatisfiable(Exception):
    """The requested range has no byte of the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the requested part of a file of `size` bytes as [start, end), or None for all of it.

    Several ranges, other units and malformed headers mean the whole file too, as the RFC allows.
    Raise `RangeNotSatisfiable` if the file has no byte of the range.
    """
    match = ONE_RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - _number(last), 0), size
    else:
        start, end = _number(first), min(_number(last) + 1, size) if last else size
        if last and _number(last) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable
    return start, end


def _number(digits: str) -> int:
    """Return the number, at most `LARGEST`. `int` alone would refuse very many digits."""
    digits = digits.lstrip("0") or "0"
    return LARGEST if len(digits) > len(str(LARGEST)) else min(int(digits), LARGEST)
