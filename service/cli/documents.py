"""Parse user input: specs in files, and changes, grids, labels and quotas in arguments."""

import re
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from jobs.sweeps.grid import InvalidSweep, path_of
from relora_core.spec import documents, with_absolute_paths
from service.cli.session import REFUSED, fail

UNITS: dict[str, int] = {
    unit: 1000**power for power, unit in enumerate(("", "kB", "MB", "GB", "TB", "PB"))
}


def read_document(file: Path, what: str) -> dict[str, Any]:
    """Read a mapping from YAML or JSON. `what` names the expected content in an error."""
    try:
        document = documents.read_document(file)
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", REFUSED)
    except ValueError as error:
        fail(str(error), REFUSED)
    if not isinstance(document, dict):
        fail(f"{file} holds no {what}", REFUSED)
    return document


def read_spec(file: Path) -> dict[str, Any]:
    """Read a spec. Its relative paths start at the current directory."""
    document = read_document(file, "job spec: a mapping with `model`, `data` and `training`")
    return with_absolute_paths(document)


def read_changes(file: Path | None, settings: Iterable[str]) -> dict[str, Any]:
    """Return the changes in a file and in settings.

    The setting `training.steps=200` becomes `{"training": {"steps": 200}}`. Null removes a field.
    Relative paths start at the current directory.
    """
    changes = read_document(file, "changes: a part of a job spec") if file else {}
    for setting in settings:
        path, value = _split(setting, "training.steps=200")
        *parents, name = path.split(".")
        place = changes
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                fail(f"{setting!r} changes a part of {parent!r}, which is set whole", REFUSED)
        place[name] = _value(value, setting)
    return with_absolute_paths(changes)


def parse_grid(settings: Iterable[str]) -> dict[str, list[Any]]:
    """Parse `rank=64,128` to `{"rank": [64, 128]}`.

    Relative paths start at the current directory.
    """
    grid = {}
    for setting in settings:
        field, values = _split(setting, "rank=64,128")
        grid[field] = _from_here(field, _value(f"[{values}]", setting))
    return grid


def _from_here(field: str, values: list[Any]) -> list[Any]:
    """Make relative paths absolute. Keep an unknown field, which the service refuses."""
    try:
        path = path_of(field, values)
    except InvalidSweep:
        return values
    return [_inside(with_absolute_paths(_around(value, path)), path) for value in values]


def _around(value: Any, path: Sequence[str]) -> Any:
    """Return a part of a spec that has the value at this path."""
    return reduce(lambda inner, name: {name: inner}, reversed(path), value)


def _inside(document: Any, path: Sequence[str]) -> Any:
    return reduce(lambda outer, name: outer[name], path, document)


def parse_labels(labels: Iterable[str]) -> dict[str, str]:
    return dict(_split(label, "team=nlp") for label in labels)


def parse_quotas(settings: Iterable[str]) -> dict[str, int | None]:
    """Parse quotas such as `gpus=8` and `storage_bytes=2TB`. `gpus=none` means no limit."""
    return {name: _limit(value, name) for name, value in (_split(s, "gpus=8") for s in settings)}


def _limit(text: str, quota: str) -> int | None:
    if text == "none":
        return None
    units = "|".join(UNITS)
    if not (found := re.fullmatch(rf"(\d+(?:\.\d+)?) ?({units})", text)):
        fail(f"{quota}={text}: a limit is a whole number, a size like 500GB, or none", REFUSED)
    return round(float(found[1]) * UNITS[found[2]])


def _split(setting: str, example: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not (name and equals):
        fail(f"{setting!r} is not like {example}", REFUSED)
    return name, value


def _value(text: str, setting: str) -> Any:
    try:
        return documents.parse(text)
    except ValueError as error:
        fail(f"cannot read the value of {setting!r}: {error}", REFUSED)
