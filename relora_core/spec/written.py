"""Check the size, depth and values of a written document, whatever its fields mean."""

import json
import math
from collections.abc import Iterator, Mapping

MAX_BYTES = 65_536  # as JSON
MAX_DEPTH = 32
MAX_INT64 = 2**63 - 1
TOO_DEEP = f"must be at most {MAX_DEPTH} levels deep"

_Items = Iterator[tuple[object, object]]


class SpecConflict(ValueError):
    """Fields that do not fit together. `path` is the field to change."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def check_written(document: object) -> None:
    """Raise `SpecConflict` if a document is too large or too deep, or has values not in JSON.

    Stop at the first problem, so that no document takes long. A Python object counts as one value.
    """
    size = 0
    path: list[str] = []
    open_levels: list[_Items] = [iter([("", document)])]
    while open_levels:
        item = next(open_levels[-1], None)
        if item is None:
            open_levels.pop()
            path = path[:-1]
            continue
        key, value = item
        here = [*path, str(key)]
        size += _size(key, here) + _size(value, here) + 2
        if size > MAX_BYTES:
            raise SpecConflict("", f"must be at most {MAX_BYTES:,} bytes as JSON")
        if isinstance(value, Mapping | list | tuple):
            if len(open_levels) > MAX_DEPTH:
                raise SpecConflict(_dotted(path), TOO_DEEP)
            open_levels.append(_items(value))
            path = here


def _items(value: Mapping[object, object] | list[object] | tuple[object, ...]) -> _Items:
    return iter(value.items()) if isinstance(value, Mapping) else iter(enumerate(value))


def _size(value: object, path: list[str]) -> int:
    if isinstance(value, str):
        try:
            return len(value.encode())
        except UnicodeEncodeError:
            message = "must be valid Unicode text: it holds half of a surrogate pair"
            raise SpecConflict(_dotted(path), message) from None
    if isinstance(value, int) and abs(value) > MAX_INT64:
        bound = MAX_INT64 if value > 0 else -MAX_INT64
        message = f"must be at {'most' if value > 0 else 'least'} {bound}"
        raise SpecConflict(_dotted(path), message)
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecConflict(_dotted(path), "must be a finite number")
    return len(json.dumps(value)) if isinstance(value, int | float) else 2


def _dotted(path: list[str]) -> str:
    return ".".join(path).removeprefix(".").encode(errors="backslashreplace").decode()
