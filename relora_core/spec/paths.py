"""Make the relative paths of a written spec absolute."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from relora_core.spec.file_uris import FILE, file_uri, local_path


def with_absolute_paths(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a written spec whose paths do not depend on the current folder and user.

    Leave an invalid spec unchanged, because the validation reports its errors later.
    """
    changed = dict(document)
    if isinstance(data := document.get("data"), Mapping):
        changed["data"] = {name: _change(part, "uri", _data) for name, part in data.items()}
    for part, field, absolute in (
        ("model", "pretrained", _model),
        ("tokenizer", "pretrained", _model),
        ("method", "warm_start_from", _model),
        ("output", "uri", _uri),
    ):
        if part in document:
            changed[part] = _change(document[part], field, absolute)
    return changed


def _change(part: object, field: str, absolute: Callable[[str], str]) -> object:
    if not isinstance(part, Mapping):
        return part
    match part.get(field):
        case str(value):
            return {**part, field: absolute(value)}
        case [*values]:
            return {**part, field: [absolute(v) if isinstance(v, str) else v for v in values]}
    return part


def _data(uri: str) -> str:
    is_path = uri != "" and "://" not in uri
    return _absolute(uri) if is_path else _uri(uri)


def _model(name: str) -> str:
    """Make the path of a folder absolute. Other names are names on the Hub, or URIs.

    A name is a folder if it exists as one or begins with `.` or `~`.
    """
    is_folder = name.startswith((".", "~")) or _is_folder(name)
    return _absolute(name) if is_folder else _uri(name)


def _uri(uri: str) -> str:
    """Make a relative file:// URI absolute, and return any other URI unchanged."""
    path = uri.removeprefix(FILE)
    is_relative = uri.startswith(FILE) and path != "" and not path.startswith("/")
    return file_uri(_absolute(local_path(uri))) if is_relative else uri


def _is_folder(name: str) -> bool:
    try:
        return name != "" and Path(name).is_dir()
    except (OSError, ValueError):  # not a valid file name
        return False


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError:  # the home folder of a user that does not exist
        return path
