"""Checks of a spec for problems that the trainer would find, without importing the trainer."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from jobs.schemas.job import JobSpec
from relora_core.data.file_formats import READABLE, is_readable
from relora_core.data.find import find_files
from relora_core.errors import DataError, ModelError
from relora_core.estimate.phases import planned_phases
from relora_core.estimate.shape_of import needs_trainer, shape_of
from relora_core.shapes.names import check_names
from relora_core.spec import ConfigModel
from relora_core.spec.error_messages import FieldError
from relora_core.spec.file_uris import existing_path, is_pattern, readings
from relora_core.spec.local_copies import pretrained


def model_problems(spec: JobSpec) -> Iterator[FieldError]:
    """Yield invalid names and sizes of the model, and a method that does not fit the model."""
    try:
        shape = None if needs_trainer(spec) else shape_of(spec)
        if shape is None and isinstance(spec.model, ConfigModel):
            check_names(spec.model.config, spec.task)
    except ModelError as error:
        yield _problem("model.config", error)
        return
    try:
        if shape is not None:
            planned_phases(spec, shape)
    except ModelError as error:
        yield _problem("method", error)


def _problem(part: str, error: ModelError) -> FieldError:
    """Return the problem of an error; its path is the field that the message begins with, if any.

    The field must be in `part`; otherwise the path is `part`.
    """
    named = re.match(rf"({re.escape(part)}[\w.]*):? ", str(error))
    path = named[1] if named else part
    return FieldError(path, str(error)[named.end() if named else 0 :])


def file_problems(spec: JobSpec) -> Iterator[FieldError]:
    """Yield data in an unknown format, and files and folders that are missing.

    A folder that does not exist on this machine may exist on the workers, so its content is not
    checked.
    """
    data_problem = _unreadable if spec.task == "causal_lm" else _missing
    for path, uri in spec.places():
        if reason := data_problem(uri):
            yield FieldError(path, reason)
    for path, name in pretrained(spec):
        if reason := _missing(name):
            yield FieldError(path, reason)


def _unreadable(uri: str) -> str | None:
    """Return why text cannot be read from a file, a pattern or a folder that `datasets` saved."""
    file = _on_this_machine(uri)
    if file is None:
        return None
    if is_pattern(file):
        found = any(_may_match(Path(reading)) for reading in readings(uri))
        return None if found else f"no file matches {str(file)!r}"
    missing = _is_missing(file)
    if not missing and not file.exists():
        return None
    if not missing and file.is_dir():
        return _not_a_dataset(file)
    if not is_readable(file):
        return f"cannot read {uri!r}; known formats are {READABLE}"
    return f"there is no file {str(file)!r}" if missing else None


def _missing(name: str) -> str | None:
    """Return why a folder of images, a model or a tokenizer cannot be there."""
    path = _on_this_machine(name)
    if path is None or not _is_missing(path):
        return None
    return f"there is no file or folder {str(path)!r}"


def _on_this_machine(name: str) -> Path | None:
    """Return the absolute path or pattern that a name means, or None for a name of another kind."""
    scheme, separator, _ = name.partition("://")
    if separator and scheme != "file":
        return None
    path = Path(existing_path(name))
    return path if path.is_absolute() else None


def _is_missing(path: Path) -> bool:
    """Return whether a path is missing from a folder that exists."""
    try:
        return path.parent.is_dir() and not path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return True


def _may_match(pattern: Path) -> bool:
    """Return whether a pattern matches something, or its folder cannot be listed here."""
    try:
        return any(fnmatchcase(entry.name, pattern.name) for entry in pattern.parent.iterdir())
    except (OSError, ValueError):
        return True


def _not_a_dataset(folder: Path) -> str | None:
    try:
        find_files(str(folder))
    except DataError as error:
        return str(error)
    return None
