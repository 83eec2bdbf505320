"""What a person may send has an end: every number, text, list and free object of a request."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from jobs.schemas.forks import Fork
from jobs.schemas.job import JobChanges, JobSpec
from jobs.schemas.sweeps import NewSweep

LOWEST, HIGHEST = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
CHOSEN = {"enum", "const", "$ref"}


def endless(schema: Any, path: str = "") -> Iterator[str]:
    """The places of a JSON schema whose values have no bound."""
    if not isinstance(schema, Mapping):
        return
    if not CHOSEN & schema.keys():
        yield from (f"{path}: {reason}" for reason in _endless_here(schema))
    for key in ("properties", "$defs"):
        for name, part in schema.get(key, {}).items():
            yield from endless(part, f"{path}.{name}")
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from endless(part, path)
    for key in ("items", "additionalProperties", "propertyNames"):
        yield from endless(schema.get(key), f"{path}.*")


def _endless_here(schema: Mapping[str, Any]) -> Iterator[str]:
    kind, keys = schema.get("type"), schema.keys()
    if kind in {"integer", "number"} and not (LOWEST & keys and HIGHEST & keys):
        yield "a number without both bounds"
    if kind == "string" and not {"maxLength", "format"} & keys:
        yield "a text without a longest length"
    if kind == "array" and "maxItems" not in keys:
        yield "a list without a longest length"
    if kind == "object" and "additionalProperties" in keys and "properties" not in keys:
        if "maxProperties" not in keys:
            yield "an object without a most number of fields"
        if schema["additionalProperties"] is True and not {"x-max-depth", "x-max-bytes"} <= keys:
            yield "a free object without a depth and a size"


@pytest.mark.parametrize("model", [JobSpec, JobChanges, NewSweep, Fork])
def test_everything_that_a_body_may_hold_has_a_bound(model: Any) -> None:
    assert list(endless(model.model_json_schema())) == []


def named(schema: Any) -> set[str]:
    """The schemas of OpenAPI that a schema refers to."""
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(schema)))


def test_every_parameter_of_every_operation_has_a_bound(openapi: dict[str, Any]) -> None:
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                assert list(endless(parameter["schema"], parameter["name"])) == [], (method, path)


def test_every_body_has_a_bound_and_whatever_it_is_made_of(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    operations = [one for path in openapi["paths"].values() for one in path.values()]
    bodies = [one["requestBody"]["content"] for one in operations if "requestBody" in one]
    found = sorted(named(bodies))
    for name in found:  # the list grows during the loop
        found += sorted(named(schemas[name]) - set(found))
    assert {"NewKey", "NewSweep", "ReloraMethod", "WebhookSpec"} <= set(found)
    direct = [media["schema"] for body in bodies for media in body.values()]
    assert [problem for schema in direct for problem in endless(schema)] == []
    assert [problem for name in found for problem in endless(schemas[name], name)] == []


def test_what_has_no_bound_is_found() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer", "minimum": 0},
            "b": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
            "c": {"anyOf": [{"type": "object", "additionalProperties": True}, {"type": "null"}]},
        }
    }
    assert list(endless(schema)) == [
        ".a: a number without both bounds",
        ".b.*: a text without a longest length",
        ".c: an object without a most number of fields",
        ".c: a free object without a depth and a size",
    ]
