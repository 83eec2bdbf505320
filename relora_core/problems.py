"""Validation errors in a person's words: the field's path as it was written, and a reason."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relora_core.spec import SpecConflict


@dataclass(frozen=True)
class Problem:
    path: str
    message: str


def explain(error: ValidationError, document: object, model: type[BaseModel]) -> list[Problem]:
    """What is wrong with `document`, which did not validate as `model`."""
    return [
        Problem(path=_path(item, document), message=_reason(item, model))
        for item in error.errors(include_url=False)
    ]


def _path(item: ErrorDetails, document: object) -> str:
    conflict = item.get("ctx", {}).get("error")
    if isinstance(conflict, SpecConflict):
        return conflict.path
    return _written_path(item["loc"], item["type"], document)


def _written_path(location: Sequence[int | str], kind: str, document: object) -> str:
    """Drop the names of union variants, which pydantic puts into the location."""
    path, current = [], document
    for key in location:
        if _holds(current, key):
            path.append(str(key))
            current = current[key]  # type: ignore[index] # `_holds` says that it can
    if kind == "missing":
        path.append(str(location[-1]))
    return ".".join(path)


def _holds(value: object, key: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, Mapping) and key in value


def _reason(item: ErrorDetails, model: type[BaseModel]) -> str:
    match item["type"]:
        case "missing":
            return "required"
        case "extra_forbidden":
            return _unknown_field(str(item["loc"][-1]), model)
        case "value_error":
            return str(item["ctx"]["error"])
        case "union_tag_invalid":
            context = item["ctx"]
            return (
                f"no {context['discriminator'].strip(chr(39))} {context['tag']!r}; there are "
                + (context["expected_tags"].replace("'", ""))
            )
        case _:
            return f"{item['msg']}; got {_shortened(item['input'])}"


def _unknown_field(name: str, model: type[BaseModel]) -> str:
    close = difflib.get_close_matches(name, set(_field_names(model, set())), n=1)
    return "unknown field" + (f"; did you mean `{close[0]}`?" if close else "")


def _shortened(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 80 else text[:77] + "..."


def _field_names(annotation: Any, seen: set[Any]) -> Iterator[str]:
    """The names of all fields below `annotation`, through unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return
        seen.add(annotation)
        for name, field in annotation.model_fields.items():
            yield name
            yield from _field_names(field.annotation, seen)
    for part in get_args(annotation):
        yield from _field_names(part, seen)
