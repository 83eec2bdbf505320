from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from jobs.scheduling.quotas import Quotas
from jobs.schemas.datasets import NewDataset
from jobs.schemas.generations import NewGeneration
from jobs.schemas.job import JobChanges


@pytest.mark.parametrize(
    ("body", "others", "field", "most"),
    [
        (JobChanges, {}, "priority", 100),
        (Quotas, {}, "gpus", 2**31 - 1),
        (Quotas, {}, "storage_bytes", 2**53),
        (NewGeneration, {}, "max_new_tokens", 2048),
        (NewGeneration, {}, "seed", 2**32 - 1),
        (NewGeneration, {}, "step", 2**53 - 1),
        (
            NewDataset,
            {"name": "bible", "filename": "kjv.txt", "sha256": "0" * 64},
            "size",
            2**53 - 1,
        ),
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
