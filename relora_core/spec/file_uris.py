"""Read `file://` URIs in the same way everywhere.

A URI is percent-encoded where necessary, as by `Path.as_uri`. `#`, `?` and wildcards have the same
meaning in it as in a path.
"""

import os
from pathlib import Path
from urllib.parse import unquote

FILE = "file://"
_WILDCARDS = frozenset("*?[")


def file_uri(path: str) -> str:
    """Return the URI of a path or a pattern. `local_path` is the inverse."""
    return FILE + path.replace("%", "%25")


def local_path(uri: str) -> str:
    """Return the path of a file:// URI, or a plain path unchanged."""
    return unquote(uri.removeprefix(FILE)) if uri.startswith(FILE) else uri


def readings(uri: str) -> list[str]:
    """Return the paths that the URI of a source can mean, the correct one first.

    Earlier versions did not decode the URIs of sources. So the second path is the URI without
    decoding: a URI that names a file only in this way still works.
    """
    return list(dict.fromkeys((local_path(uri), uri.removeprefix(FILE))))


def is_pattern(path: Path) -> bool:
    """Return whether the last part of a path is a pattern. An existing path is not a pattern."""
    return not _WILDCARDS.isdisjoint(path.name) and not os.path.lexists(path)


def is_missing(name: str) -> bool:
    """Return whether the name is an absolute path that does not exist, so no name on the Hub."""
    return os.path.isabs(name) and not os.path.exists(name)  # noqa: PTH110, PTH117 # never raises


def existing_path(uri: str) -> str:
    """Return the first path of `readings` that exists, or the correct one if none exists."""
    found = (path for path in readings(uri) if os.path.lexists(Path(path).expanduser()))
    return next(found, local_path(uri))
