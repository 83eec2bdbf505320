from typing import Any

import pytest

from website.spec_reference import PAGE, described, page

SCHEMA = described()
FIELDS = {
    f"{owner}.{name}": field
    for owner, schema in [*SCHEMA["$defs"].items(), ("JobSpec", SCHEMA)]
    for name, field in schema["properties"].items()
}


def test_the_page_is_that_of_the_schema() -> None:
    assert PAGE.read_text() == page(), "run `make docs`"


def test_every_field_says_what_it_is_in_a_sentence() -> None:
    assert [
        n for n, field in FIELDS.items() if not field.get("description", "").endswith(".")
    ] == []


def test_every_field_that_may_be_null_says_what_null_means() -> None:
    nullable = {
        n: field for n, field in FIELDS.items() if {"type": "null"} in field.get("anyOf", [])
    }
    assert [n for n, field in nullable.items() if not says_what_null_means(field)] == []


def says_what_null_means(field: dict[str, Any]) -> bool:
    word = "Default: " if field["default"] is None else "null: "
    return word in field["description"]


@pytest.mark.parametrize(
    "row",
    [
        "| `recipe` | string or null | none | at most 200 characters | ",
        "| `update_projection_every` | `galore`, `fira`, `apollo` | integer | `200` | ",
        "| `low_rank_learning_rate` | all | number or null | twice `learning_rate`, or ",
        "| `scale` | `apollo` | number or `auto` | `1.0` | more than 0; ",
        "| `secret` | string | required | at most 64 characters | ",
        "| `labels` | object | empty | at most 64 entries | ",
        "| `entity` | `wandb` | string or null | that of the API key | 1 to 128 characters | ",
    ],
)
def test_a_row_has_type_default_and_bounds(row: str) -> None:
    assert f"\n{row}" in page()
