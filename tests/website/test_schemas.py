"""The schemas in docs/schemas are those of the code: a change of them is seen in its commit."""

import json

import pytest

from website.schemas import FOLDER, ROOT, Schema, changes, schemas

SCHEMA = {
    "properties": {
        "rank": {"type": "integer", "maximum": 512, "description": "The rank."},
        "title": {"type": "string"},
    },
    "required": ["rank"],
}


@pytest.fixture(scope="module")
def made() -> dict[str, Schema]:
    return schemas()


@pytest.mark.integration
@pytest.mark.parametrize("name", ["openapi.json", "job-spec.json"])
def test_what_clients_rely_on_changes_only_where_it_is_meant_to(
    name: str, made: dict[str, Schema]
) -> None:
    frozen = json.loads((ROOT / FOLDER / name).read_text())
    told = "\n".join(changes(frozen, made[name]))
    assert frozen == made[name], (
        f"run `make docs`, and say in CHANGELOG.md what clients see of this:\n{told}"
    )


def test_the_schemas_name_no_folder_of_the_machine_that_wrote_them() -> None:
    written = [(ROOT / FOLDER / name).read_text() for name in ("openapi.json", "job-spec.json")]
    assert [text for text in written if "kjv.jsonl.gz" in text] == []


def test_what_is_gone_or_another_is_told_before_what_is_new() -> None:
    properties = {"rank": {"type": "integer", "maximum": 256}, "alpha": {"type": "number"}}
    assert changes(SCHEMA, {"properties": properties, "required": ["rank", "alpha"]}) == [
        "removed  /properties/title/type",
        "changed  /properties/rank/maximum: 512 -> 256",
        'changed  /required: ["rank"] -> ["rank", "alpha"]',
        "added    /properties/alpha/type",
    ]


def test_words_may_be_written_better() -> None:
    better = {**SCHEMA, "description": "A method.", "title": "Method"}
    assert changes(SCHEMA, better) == []
