"""A body or a spec accepts exactly the numbers that are numbers in JSON Schema."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from jobs.schemas.datasets import NewDataset
from jobs.schemas.generations import NewGeneration
from jobs.schemas.job import JobChanges, JobSpec
from jobs.schemas.keys import NewKey
from jobs.schemas.projects import Quotas
from relora_core.spec import Spec

DATASET = {"name": "bible", "filename": "kjv.txt", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("body", "others", "field", "most"),
    [
        (JobChanges, {}, "priority", 100),
        (Quotas, {}, "gpus", 2**31 - 1),
        (Quotas, {}, "storage_bytes", 2**53),
        (NewGeneration, {}, "max_new_tokens", 2048),
        (NewGeneration, {}, "seed", 2**32 - 1),
        (NewGeneration, {}, "step", 2**53 - 1),
        (NewDataset, DATASET, "size", 2**53 - 1),
    ],
)
def test_a_body_takes_for_an_integer_what_its_schema_does(
    body: type[BaseModel], others: dict[str, Any], field: str, most: int
) -> None:
    taken = getattr(body.model_validate({**others, field: 80.0}), field)
    assert (taken, type(taken)) == (80, int)
    for refused in (80.5, "80", True, most + 1):
        with pytest.raises(ValidationError, match=f"1 validation error for .*\n{field}"):
            body.model_validate({**others, field: refused})
    described = body.model_json_schema()["properties"][field]
    integer = described.get("anyOf", [described])[0]
    assert (integer["type"], integer["maximum"]) == ("integer", most)


@pytest.mark.parametrize(
    ("body", "others", "field"),
    [
        (NewGeneration, {}, "temperature"),
        (NewGeneration, {}, "top_p"),
        (NewKey, {"name": "laptop"}, "expires_in_days"),
    ],
)
def test_a_body_takes_for_a_number_what_its_schema_does(
    body: type[BaseModel], others: dict[str, Any], field: str
) -> None:
    assert getattr(body.model_validate({**others, field: 1}), field) == 1
    for refused in ("0.5", True, 10**9):
        with pytest.raises(ValidationError, match=f"1 validation error for .*\n{field}"):
            body.model_validate({**others, field: refused})


def parts_of_specs(above: type[Spec] = Spec) -> Iterator[type[Spec]]:
    for part in above.__subclasses__():
        yield part
        yield from parts_of_specs(part)


def types_in(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types of a field itself, without those of nested values."""
    choices = schema.get("anyOf", [schema])
    return {choice["type"] for choice in choices if "type" in choice}


NUMBERS = [
    pytest.param(part, field, id=f"{part.__name__}.{field}")
    for part in sorted(set(parts_of_specs()), key=lambda part: part.__name__)
    for field, schema in part.model_json_schema()["properties"].items()
    if types_in(schema) & {"integer", "number"} and "boolean" not in types_in(schema)
]


def test_the_numbers_of_all_parts_of_the_spec_are_found() -> None:
    assert len(NUMBERS) > 60


@pytest.mark.parametrize(("part", "field"), NUMBERS)
def test_true_is_no_number_of_a_spec(part: type[Spec], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        part.model_validate({field: True})
    assert field in {error["loc"][0] for error in caught.value.errors()}


def test_true_is_no_number_in_a_list_of_a_spec() -> None:
    with pytest.raises(ValidationError, match=r"optimizer\.adamw\.betas\.0\n"):
        JobSpec.model_validate({"optimizer": {"betas": [True, 0.9]}})
