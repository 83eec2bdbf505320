"""Checks of a spec for problems that the trainer would find, without importing the trainer."""

import re
from collections.abc import Iterator
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
from relora_core.spec.file_uris import existing_path, is_pattern


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
    """Yield data files with an unknown format, and files that are missing from existing folders.

    A folder that does not exist on this machine may exist on the workers, so its files are not
    checked.
    """
    if spec.task != "causal_lm":
        return
    for path, uri in spec.data.places():
        if reason := _unreadable(uri):
            yield FieldError(path, reason)


def _unreadable(uri: str) -> str | None:
    scheme, separator, _ = uri.partition("://")
    if separator and scheme != "file":
        return None
    file = Path(existing_path(uri))
    if is_pattern(file) or not file.is_absolute():
        return None
    try:
        if file.is_dir():
            return _not_a_dataset(file)
        if not file.parent.is_dir():
            return None
        missing = not file.exists()
    except (OSError, ValueError):  # a name that no file can have
        missing = True
    if not is_readable(file):
        return f"cannot read {uri!r}; known formats are {READABLE}"
    return f"there is no file {str(file)!r}" if missing else None


def _not_a_dataset(folder: Path) -> str | None:
    try:
        find_files(str(folder))
    except DataError as error:
        return str(error)
    return None
