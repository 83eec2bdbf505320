"""Write docs/spec.md from the JSON schema of `JobSpec`: `python -m website.spec_reference`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.schemas.job import JobSpec

PAGE = Path(__file__).parents[1] / "docs/spec.md"
INTRODUCTION = """\
# The spec

Every field of a job's spec, as JSON or YAML. `relora_core` alone reads the same file and skips the
sections of the service: `labels`, `priority`, `resources`, `output`, `retries`, `secrets`,
`trackers` and `webhooks`. Only `model`, `data.train` and `training` are required.

A field that is not listed is refused, and so is a value outside its bounds. The server itself
gives the schema at `GET /openapi.json`. This page is made from it by `make docs`.
"""

Schema = dict[str, Any]
_TELLING = ("name", "mode")  # the fields that identify an object of a union


@dataclass(frozen=True)
class Row:
    """A field. `choices` are the objects of a union that have the field in this form."""

    name: str
    type: str
    default: str
    bounds: str
    description: str
    choices: tuple[str, ...] = ()


def page() -> str:
    """Return the whole page."""
    schema = described()
    return INTRODUCTION + "".join(_sections("", schema, schema["$defs"]))


def described() -> Schema:
    """Return the schema of `JobSpec`, with a description for each field with an object.

    A field without its own description gets that of the object's class.
    """
    schema = JobSpec.model_json_schema()
    for one in (schema, *schema["$defs"].values()):
        for field in one.get("properties", {}).values():
            if "$ref" in field and "description" not in field:
                field["description"] = _resolved(field, schema["$defs"])["description"]
    return schema


def _sections(path: str, schema: Schema, definitions: Schema) -> Iterator[str]:
    """Yield the table of an object or of a union of objects, and then those of its fields."""
    objects = [_resolved(choice, definitions) for choice in _objects(schema, definitions)]
    names = _names(objects)
    if path:
        yield f"\n{'##' if '.' not in path else '###'} `{path}`\n"
    if len(names) > 1:
        yield f"\nOne of {', '.join(f'`{name}`' for name in names)}.\n"
    yield _table(list(_rows(objects, names)))
    nested: dict[str, Schema] = {}
    for one in objects:
        for name, field in one["properties"].items():
            if _objects(field, definitions):
                nested.setdefault(name, field)
    for name, field in nested.items():
        yield from _sections(f"{path}.{name}".lstrip("."), field, definitions)


def _rows(objects: list[Schema], names: list[str]) -> Iterator[Row]:
    """Yield each field once. If it differs between the choices, yield it once for each form."""
    rows: dict[Row, list[str]] = {}
    for one, choice in zip(objects, names, strict=True):
        for name, field in one["properties"].items():
            row = _row(name, field, is_required=name in one.get("required", []))
            rows.setdefault(row, []).append(choice)
    for row, choices in sorted(rows.items(), key=lambda item: item[0].name not in _TELLING):
        is_everywhere = len(choices) == len(objects)
        yield row if is_everywhere else replace(row, choices=tuple(choices))


def _row(name: str, field: Schema, *, is_required: bool) -> Row:
    text, _, computed = str(field["description"]).partition(" Default: ")
    default = computed.rstrip(".") or _shown(field.get("default", {}))
    return Row(
        name=name,
        type=_type(field),
        default="required" if is_required else default,
        bounds="; ".join(_bounds(field)),
        description=text,
    )


def _table(rows: list[Row]) -> str:
    has_choices = any(row.choices for row in rows)
    header = ["field", *(["of"] if has_choices else []), "type", "default", "bounds", "meaning"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        of = ", ".join(f"`{choice}`" for choice in row.choices) or "all"
        cells = [f"`{row.name}`", *([of] if has_choices else [])]
        lines.append([*cells, row.type, row.default, row.bounds, row.description])
    return "\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*") if "`" not in text else text


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: Schema = definitions[name] if name else schema
    return resolved


def _objects(schema: Schema, definitions: Schema) -> list[Schema]:
    """Return the schemas of the objects with fields that a value, or an item of it, may be."""
    if "properties" in _resolved(schema, definitions):
        return [schema]
    items = [schema["items"]] if "items" in schema else []
    choices = schema.get("oneOf") or schema.get("anyOf") or items
    return [one for choice in choices for one in _objects(choice, definitions)]


def _names(objects: list[Schema]) -> list[str]:
    """Return a name for each choice that tells it from the others.

    It is the value of a constant field, or the name of a field that no other choice has. If a
    choice has neither, all have the names of their classes.
    """
    names = [_telling_name(one, objects) for one in objects]
    if None in names:
        return [one["title"] for one in objects]
    return [name for name in names if name is not None]


def _telling_name(one: Schema, objects: list[Schema]) -> str | None:
    fields: dict[str, Schema] = one["properties"]
    for name, field in fields.items():
        if "const" in field:
            return str(field["const"])
        if not any(name in other["properties"] for other in objects if other is not one):
            return name
    return None


def _type(field: Schema) -> str:
    if "const" in field or "enum" in field:
        return " or ".join(_shown(value) for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return "object"
    choices = field.get("anyOf") or field.get("oneOf") or []
    if choices:
        return " or ".join(dict.fromkeys(_type(choice) for choice in choices))
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} {_type(field['prefixItems'][0])}s"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    return str(field["type"])


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "see below" if value else "empty"
    return f"`{json.dumps(value).strip(chr(34))}`"


def _bounds(field: Schema) -> Iterator[str]:
    for choice in field.get("anyOf") or field.get("oneOf") or field.get("prefixItems", [])[:1]:
        yield from _bounds(choice)
    yield from _range(field)
    for key, what in (("Length", "characters"), ("Items", "items"), ("Properties", "entries")):
        least, most = field.get(f"min{key}"), field.get(f"max{key}")
        if most is not None and most != least:
            yield f"{least} to {most:,} {what}" if least else f"at most {most:,} {what}"
    if "items" in field:
        yield from (f"each {bound}" for bound in _bounds(field["items"]))


def _range(field: Schema) -> Iterator[str]:
    if "minimum" in field:
        yield f"at least {_number(field['minimum'])}"
    if "exclusiveMinimum" in field:
        yield f"more than {_number(field['exclusiveMinimum'])}"
    if "maximum" in field:
        yield f"at most {_number(field['maximum'])}"
    if "exclusiveMaximum" in field:
        yield f"less than {_number(field['exclusiveMaximum'])}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.15g}"


if __name__ == "__main__":
    PAGE.write_text(page())
