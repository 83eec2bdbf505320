"""The Range header of RFC 9110, as far as downloads need it: one range of bytes."""

import re

ONE_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")
LARGEST = 2**63  # more than the bytes of any file


class RangeNotSatisfiable(Exception):
    """The file has no byte of the range that was asked for."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The asked part of a file of `size` bytes, as [start, end); None asks for the whole.

    Many ranges, other units and what is malformed ask for the whole too, as the RFC allows.
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
    """Of any length, which `int` would refuse to read."""
    digits = digits.lstrip("0") or "0"
    return LARGEST if len(digits) > len(str(LARGEST)) else min(int(digits), LARGEST)
