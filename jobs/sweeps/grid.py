"""The expansion of a base spec and a grid of changes into the specs of a sweep's jobs."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from jobs.schemas.job import JobSpec
from relora_core.spec.error_messages import MAX_PROBLEMS, FieldError, first, readable_errors

MAX_JOBS = 200
MAX_NAME = 200  # characters in the name of a job


class InvalidSweep(Exception):
    """A grid or some of its combinations are invalid. `problems` says which fields, and why."""

    def __init__(self, problems: list[FieldError]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Planned:
    """A job to submit, with its values of the grid by the names that the person wrote."""

    changes: Mapping[str, Any]
    spec: JobSpec


@dataclass(frozen=True, eq=False)  # `eq=False` keeps it hashable, although it has a list
class _Axis:
    written: str
    path: tuple[str, ...]
    values: list[Any]


_Combination = Mapping[_Axis, Any]
Check = Callable[[JobSpec], Iterable[FieldError]]


def _any_spec(_: JobSpec) -> Iterable[FieldError]:
    return ()


def plan(
    base: Mapping[str, Any], grid: Mapping[str, Any], check: Check = _any_spec
) -> list[Planned]:
    """Return a job for each combination. Combinations that give the same run give one job.

    `check` returns why a valid spec cannot be run. Raise `InvalidSweep` if a combination is
    invalid.
    """
    axes = [_axis(written, values) for written, values in _flat(grid)]
    planned: dict[str, Planned] = {}
    wrong: dict[FieldError, list[_Combination]] = {}
    tried = 0
    for chosen in _combinations(axes):
        tried += 1
        document = _changed(base, chosen)
        try:
            spec = JobSpec.model_validate(document)
        except ValidationError as error:
            problems: Iterable[FieldError] = readable_errors(error, document, JobSpec)
        else:
            planned.setdefault(spec.model_dump_json(exclude={"name"}), _planned(spec, chosen))
            problems = check(spec)
        for problem in problems:
            wrong.setdefault(problem, []).append(chosen)
        if len(wrong) >= MAX_PROBLEMS:
            break
    if wrong:
        raise InvalidSweep(first([_as_written(*item, of_all=tried) for item in wrong.items()]))
    return list(planned.values())


def _flat(grid: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in grid.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _axis(written: str, values: Any) -> _Axis:
    if not isinstance(values, list) or not values:
        raise _wrong(written, "give a list of at least one value")
    return _Axis(written, path_of(written, values), values)


def path_of(written: str, values: list[Any]) -> tuple[str, ...]:
    """Return the path of a field in the spec, which may be written as its last name only.

    Raise `InvalidSweep` if there is no such field or more than one.
    """
    if written == "method" and all(isinstance(value, str) for value in values):
        return ("method", "name")
    if written == "name":
        raise _wrong(written, "the jobs are named by the sweep; change another field")
    if "." in written or written in JobSpec.model_fields:
        return tuple(written.split("."))
    owners = [part for part, fields in _FIELDS.items() if written in fields]
    if "method" in owners:
        return ("method", written)
    if len(owners) == 1:
        return (owners[0], written)
    choices = ", ".join(f"`{part}.{written}`" for part in owners)
    raise _wrong(written, f"which one? write {choices}" if owners else "no part has this field")


def _fields(annotation: Any) -> set[str]:
    """Return the field names of a part of the spec, or of all variants of the part."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return set(annotation.model_fields)
    return {field for variant in get_args(annotation) for field in _fields(variant)}


_METHOD = JobSpec.model_fields["method"].default.name
_FIELDS = {name: _fields(field.annotation) for name, field in JobSpec.model_fields.items()}


def _combinations(axes: list[_Axis]) -> Iterator[_Combination]:
    size = math.prod(len(axis.values) for axis in axes)
    if size > MAX_JOBS:
        message = f"{size:,} combinations; a sweep has at most {MAX_JOBS}"
        raise InvalidSweep([FieldError(path="grid", message=message)])
    every = product(*(axis.values for axis in axes))
    return (dict(zip(axes, values, strict=True)) for values in every)


def _as_written(problem: FieldError, chosen: list[_Combination], *, of_all: int) -> FieldError:
    """Return the problem with the field name that the person wrote.

    If only some combinations have the problem, the message names the values that these share.
    """
    common = {
        axis.written: value
        for axis, value in chosen[0].items()
        if len(chosen) < of_all and all(other[axis] == value for other in chosen)
    }
    where = f"with {', '.join(_assigned(common))}: " if common else ""
    return FieldError(_written_path(problem.path, chosen[0]), f"{where}{problem.message}")


def _written_path(path: str, axes: Iterable[_Axis]) -> str:
    for axis in axes:
        of_axis = ".".join(axis.path)
        if path == axis.written:
            return f"grid.{path}"
        if f"{path}.".startswith(f"{of_axis}."):
            return f"grid.{axis.written}{path.removeprefix(of_axis)}"
    return f"base.{path}".rstrip(".")


def _changed(base: Mapping[str, Any], chosen: _Combination) -> dict[str, Any]:
    document = deepcopy(dict(base))
    for axis, value in chosen.items():
        _put(document, axis, value)
    return document


def _planned(spec: JobSpec, chosen: _Combination) -> Planned:
    kept = _kept(spec, chosen)
    return Planned(kept, spec.model_copy(update={"name": _name(spec.name, kept)}))


def _put(document: dict[str, Any], axis: _Axis, value: Any) -> None:
    *parts, last = axis.path
    for part in parts:
        inner = document.get(part)
        if part == "method" and isinstance(inner, str | None):  # a plain name, or left out
            inner = {"name": inner or _METHOD}
        if inner is not None and not isinstance(inner, Mapping):
            raise _wrong(axis.written, f"`{part}` of the base has no fields")
        document[part] = dict(inner or {})
        document = document[part]
    document[last] = deepcopy(value)


def _kept(spec: JobSpec, chosen: _Combination) -> dict[str, Any]:
    """Return the values that the spec has a field for: full-rank training has no rank."""
    document = spec.model_dump(mode="json")
    return {axis.written: value for axis, value in chosen.items() if _has(document, axis.path)}


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(document, Mapping) or part not in document:
            return False
        document = document[part]
    return True


def _name(base: str, changes: Mapping[str, Any]) -> str:
    return f"{base}/{','.join(_assigned(changes))}"[:MAX_NAME]


def _assigned(changes: Mapping[str, Any]) -> Iterator[str]:
    return (f"{written}={_shown(value)}" for written, value in changes.items())


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _wrong(written: str, message: str) -> InvalidSweep:
    return InvalidSweep([FieldError(path=f"grid.{written}", message=message)])
