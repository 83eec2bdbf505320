"""Write the schemas that clients rely on, and list their changes.

`make docs` writes docs/schemas. `python -m website.schemas REF` prints the changes since a commit
or a tag, for release notes.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.schemas.job import JobSpec
from service.openapi import document
from service.routes.spec_body import DEMO_TEXT, WIKITEXT

ROOT = Path(__file__).parents[1]
FOLDER = "docs/schemas"

Schema = dict[str, Any]
_WORDS = frozenset({"description", "summary", "title", "examples", "example"})


def schemas() -> dict[str, Schema]:
    """Return the schema of the API and that of a job's spec, by file name.

    The examples use data of the Hub, because the path of the demo text differs on each machine.
    """
    api = json.dumps(document()).replace(json.dumps(str(DEMO_TEXT)), json.dumps(WIKITEXT))
    return {"openapi.json": json.loads(api), "job-spec.json": JobSpec.model_json_schema()}


def write() -> None:
    (ROOT / FOLDER).mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (ROOT / FOLDER / name).write_text(json.dumps(schema, indent=2) + "\n")


def committed(name: str, ref: str) -> Schema:
    """Return a schema at a commit. If it is not there, exit with git's message."""
    command = ["git", "show", f"{ref}:{FOLDER}/{name}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if shown.returncode:
        sys.exit(shown.stderr.decode())
    schema: Schema = json.loads(shown.stdout)
    return schema


def changes(before: Schema, after: Schema) -> list[str]:
    """List the removals, changes and additions, in this order. Ignore descriptions."""
    old, new = dict(_facts("", before)), dict(_facts("", after))
    return [
        *(f"removed  {path}" for path in old if path not in new),
        *(
            f"changed  {path}: {old[path]} -> {new[path]}"
            for path in old
            if path in new and old[path] != new[path]
        ),
        *(f"added    {path}" for path in new if path not in old),
    ]


def _facts(path: str, node: object, *, names: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each leaf with its path.

    With `names`, the keys of the node are names of fields or schemas, not keywords of JSON schema.
    """
    if isinstance(node, dict) and node:
        for key, below in node.items():
            if names or key not in _WORDS:
                holds_names = not names and key in ("properties", "$defs", "schemas", "paths")
                yield from _facts(f"{path}/{key}", below, names=holds_names)
    elif isinstance(node, list) and any(isinstance(one, dict | list) for one in node):
        for number, below in enumerate(node):
            yield from _facts(f"{path}/{number}", below)
    else:
        yield path, json.dumps(node)


def main(ref: str) -> None:
    for name, schema in schemas().items():
        print(name)  # noqa: T201 # the output of the program
        for change in changes(committed(name, ref), schema):
            print(f"  {change}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
