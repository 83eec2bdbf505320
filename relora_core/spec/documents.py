"""Read documents that people write, in YAML or JSON, with clear error messages."""

import json
from collections.abc import Hashable
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

from relora_core.spec import check_written

_MAX_BYTES = 262_144  # with its comments


class _Loader(yaml.SafeLoader):
    """A loader that refuses duplicate keys, because YAML would silently drop one of the values.

    It says in which line a number or a date is not valid.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as the library calls it
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            line = node.start_mark.line + 1
            raise ValueError(f"the number or date in line {line} is not valid") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as the library calls it
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise ValueError(f"`{key.value}` is written twice, again in line {line}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_document(file: Path) -> object:
    """Read a YAML or JSON file.

    Raise `OSError` if the file cannot be opened, and `ValueError` if its content cannot be parsed
    or cannot be sent as JSON.
    """
    text = file.read_bytes()
    if len(text) > _MAX_BYTES:
        raise ValueError(f"{file} has more than {_MAX_BYTES:,} bytes, which no spec needs")
    try:
        return parse(text.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    except ValueError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def parse(text: str) -> object:
    """Return the value of a YAML or JSON text. Raise `ValueError` if it cannot be parsed."""
    try:
        document = _load(text)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"it is neither YAML nor JSON: {error.problem}{where}") from error
    except yaml.YAMLError as error:
        raise ValueError("it is neither YAML nor JSON: it holds control characters") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    _check_values(document)
    return document


def _load(text: str) -> object:
    """Load JSON by its own parser, which is much faster and reads 1e-3 as a number.

    YAML is a superset of JSON. So its parser says what is wrong with either.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_json)
    except ValueError:
        return yaml.load(text, _Loader)  # noqa: S506 # a safe loader


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(document := dict(pairs)) < len(pairs):
        raise ValueError("a key is written twice")
    return document


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _check_values(document: object) -> None:
    try:
        check_written(document)
    except ValueError as error:
        path = getattr(error, "path", "")
        raise ValueError(f"{path}: {error}" if path else str(error)) from None
    values = [document]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, date):
            raise ValueError(f"{value} is read as a date; put it in quotes")
        elif isinstance(value, bytes | set):
            raise ValueError("only text, numbers, lists and objects can be sent")
