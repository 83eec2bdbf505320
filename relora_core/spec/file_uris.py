"""`file://` URIs, read the same way wherever one may stand for a path.

A URI is percent-encoded where it has to be, as `Path.as_uri` does it. `#`, `?` and wildcards mean
in it what they mean in a path.
"""

import os
from pathlib import Path
from urllib.parse import unquote

FILE = "file://"
_WILDCARDS = frozenset("*?[")


def file_uri(path: str) -> str:
    """The URI of a path or a pattern: `local_path` gives it back."""
    return FILE + path.replace("%", "%25")


def local_path(uri: str) -> str:
    """Of a file:// URI, or of a plain path."""
    return unquote(uri.removeprefix(FILE)) if uri.startswith(FILE) else uri


def readings(uri: str) -> list[str]:
    """The paths that the URI of a source may mean, the right one first.

    Earlier versions did not decode the URIs of sources. One that names something only as they read
    it goes on naming that.
    """
    return list(dict.fromkeys((local_path(uri), uri.removeprefix(FILE))))


def is_pattern(path: Path) -> bool:
    """Whether the name of a path stands for others: one that is there is itself."""
    return not _WILDCARDS.isdisjoint(path.name) and not os.path.lexists(path)


def existing_path(uri: str) -> str:
    """The first reading that is there; if none is, the right one."""
    found = (path for path in readings(uri) if os.path.lexists(Path(path).expanduser()))
    return next(found, local_path(uri))
