"""Turn validation errors into readable messages: the path of the field as written, and a reason."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from relora_core.counted import counted
from relora_core.spec import SpecConflict
from relora_core.suggestions import nearest, no_such

MAX_PROBLEMS = 20
_LONGEST = 80  # characters of a value in a message

_AN_OBJECT = "must be an object with fields"
# The message for each pydantic error type. The placeholders come from the context of the error.
_WORDS = {
    "missing": "required",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "bytes_type": "must be text",
    "dict_type": _AN_OBJECT,
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "invalid_key": "must be text",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "mapping_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
    "recursion_loop": "must not contain itself",
    "string_too_long": "must have at most {size}",
    "string_too_short": "must have at least {size}",
    "string_type": "must be text",
    "string_unicode": "must be valid Unicode text",
    "text_pattern": "must be {words}",
    "timezone_aware": "must be a time with its zone, such as 2026-01-31T12:00:00Z",
    "too_long": "must have at most {size}",
    "too_short": "must have at least {size}",
    "tuple_type": "must be a list",
    "union_tag_not_found": "needs a field `{discriminator}`",
}
_ABSENT = frozenset({"missing", "union_tag_not_found"})  # the errors of a missing field
_KINDS = {  # the message for each prefix of a pydantic error type
    "datetime": "must be a time such as 2026-01-31T12:00:00Z",
    "date": "must be a date such as 2026-01-31",
}
_OTHER_NAMES = {
    "batch_size": "global_batch_size",
    "context_length": "sequence_length",
    "epochs": "steps",
    "file": "uri",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_r": "rank",
    "lr": "learning_rate",
    "max_length": "sequence_length",
    "num_epochs": "steps",
    "num_train_epochs": "steps",
    "path": "uri",
    "r": "rank",
    "seq_len": "sequence_length",
}


@dataclass(frozen=True)
class FieldError:
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def under(self, parent: str) -> "FieldError":
        """Return the error with the path in a document that has this one as `parent`."""
        return FieldError(f"{parent}.{self.path}".rstrip("."), self.message)


def readable_errors(
    error: ValidationError, document: object, model: type[BaseModel]
) -> list[FieldError]:
    """Return the problems of `document`, which is not a valid `model`. See `in_words`."""
    return in_words(error.errors(include_url=False), document, model, with_values=True)


def in_words(
    errors: Sequence[Mapping[str, Any]],
    document: object,
    model: type[BaseModel] | None = None,
    *,
    with_values: bool = False,
) -> list[FieldError]:
    """Return messages for the first 20 of pydantic's errors, and the number of the others.

    `model` is the model that the document should match. Its fields are suggested for unknown
    fields. `with_values` repeats wrong values, so they must not be secrets.
    """
    reasons: dict[str, dict[str, None]] = {}
    endings: dict[str, dict[str, None]] = {}
    errors = _without_dropped_items(errors)
    for item in errors[:MAX_PROBLEMS]:
        path = _path(item, document)
        reasons.setdefault(path, {})[_reason(item, path, model)] = None  # one a union variant
        endings.setdefault(path, {}).update(dict.fromkeys(_endings(item, with_values=with_values)))
    problems = [
        FieldError(path, ", or ".join(reasons[path]) + "".join(endings[path])) for path in reasons
    ]
    return [*problems, *_more(len(errors) - MAX_PROBLEMS)]


def _without_dropped_items(errors: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Leave out that a list is too short, if pydantic only does not count its wrong items."""
    wrong = {item["loc"][:length] for item in errors for length in range(len(item["loc"]))}
    return [item for item in errors if item["type"] != "too_short" or item["loc"] not in wrong]


def first(problems: Sequence[FieldError]) -> list[FieldError]:
    """Return the first 20 problems, and the number of the others."""
    return [*problems[:MAX_PROBLEMS], *_more(len(problems) - MAX_PROBLEMS)]


def _more(number: int) -> list[FieldError]:
    return [FieldError("", f"and {counted(number, 'more problem')}")] if number > 0 else []


def _path(item: Mapping[str, Any], document: object) -> str:
    written = _written_path(item["loc"], item["type"], document)
    conflict = item.get("ctx", {}).get("error")
    if isinstance(conflict, SpecConflict):
        return ".".join(filter(None, (written, conflict.path)))
    return written


def _written_path(location: Sequence[int | str], kind: str, document: object) -> str:
    """Return the path without the names of union variants, which pydantic adds to the location."""
    path, current = [], document
    is_missing = kind == "missing"
    for key in location[:-1] if is_missing else location:
        if _contains(current, key):
            path.append(str(key))
            current = current[key]  # type: ignore[index] # `_contains` says that it can
    if is_missing:
        path += map(str, location[-1:])
    return ".".join(path).encode(errors="replace").decode()


def _contains(value: object, key: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and key < len(value)
    return isinstance(value, Mapping) and key in value


def _reason(item: Mapping[str, Any], path: str, model: type[BaseModel] | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_field(path, model)
    if isinstance(context.get("error"), Exception):  # raised by our own validator
        return str(context["error"])
    if kind == "union_tag_invalid":
        known = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
        return no_such(context["discriminator"].strip("'"), context["tag"], known)
    words = _WORDS.get(kind) or _of_a_kind(kind)
    if words is None:  # our own errors have their own messages
        return str(item["msg"])
    if context.get("min_length") == 1:
        return "must not be empty"
    if words == _AN_OBJECT and model is not None:
        return words + _some_fields(path, model)
    numbers = {name: f"{value:g}" for name, value in context.items() if isinstance(value, float)}
    return words.format(**{**context, **numbers}, size=_size(kind, context)).replace("'", "")


def _some_fields(path: str, model: type[BaseModel]) -> str:
    """Return the first three fields of the part, as text."""
    names = _parts(model).get(_without_numbers(path), ())
    return f" such as {', '.join(f'`{name}`' for name in names[:3])}" if names else ""


def _endings(item: Mapping[str, Any], *, with_values: bool) -> Iterator[str]:
    """Yield the value that was written, and the choice that was probably meant."""
    kind, value = item["type"], item.get("input")
    if with_values and kind in _WORDS and kind not in _ABSENT:
        yield f"; got {_shown(value)}"
    if kind in {"enum", "literal_error"} and isinstance(value, str):
        meant = nearest(value, re.findall(r"'(.+?)'", item["ctx"]["expected"]))
        if meant is not None:
            yield f"; did you mean `{meant}`?"


def _size(kind: str, context: Mapping[str, Any]) -> str:
    """Return the least or the largest number of characters, fields or items of a value."""
    number = context.get("min_length", context.get("max_length", 0))
    if kind.startswith("string") or context.get("field_type") == "Value":  # a secret
        return counted(number, "character")
    return counted(number, "field" if context.get("field_type") == "Dictionary" else "item")


def _of_a_kind(kind: str) -> str | None:
    return next((words for prefix, words in _KINDS.items() if kind.startswith(prefix)), None)


def _unknown_field(path: str, model: type[BaseModel] | None) -> str:
    """Return the message for an unknown field.

    It suggests a field of the same part, or another part that has a field of this name.
    """
    if model is None:
        return "unknown field"
    parent, _, name = path.rpartition(".")
    parts = _parts(model)
    own = parts.get(_without_numbers(parent), ())
    other_name = _OTHER_NAMES.get(name)
    meant = other_name if other_name in own else nearest(name, own)
    elsewhere = [".".join(filter(None, (part, name))) for part in parts if name in parts[part]]
    choices = [meant] if meant else elsewhere[:3]
    suggestion = " or ".join(f"`{choice}`" for choice in choices)
    return "unknown field" + (f"; did you mean {suggestion}?" if suggestion else "")


def _without_numbers(path: str) -> str:
    return ".".join(key for key in path.split(".") if not key.isdigit())


@cache
def _parts(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Return the field names of each part of `model`, by the dotted path of the part."""
    found: dict[str, dict[str, None]] = {}
    for path, name in _fields(model, ""):
        found.setdefault(path, {})[name] = None
    return {path: tuple(names) for path, names in found.items()}


def _fields(annotation: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the name of each field, also of fields in unions and containers."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for attribute, field in annotation.model_fields.items():
            name = field.alias or attribute
            yield path, name
            yield from _fields(field.annotation, f"{path}.{name}".removeprefix("."))
    for part in get_args(annotation):
        yield from _fields(part, path)


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list that has itself
        return "a value that is too large to show"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
