"""A spec that was accepted before is read, whatever bounds and rules came since."""

from typing import Any

import pytest
from pydantic import ValidationError

from relora_core.spec import TrainSpec, read_accepted

OVER_A_BOUND: dict[str, dict[str, Any]] = {
    "a number": {"training": {"steps": 10**12, "max_rewinds": 10**6}},
    "a number of more than 64 bits": {"training": {"steps": 1, "seed": 2**70}},
    "a text": {"name": "n" * 1000},
    "a text of two lines": {"name": "two\nlines"},
    "a list": {"method": {"name": "relora", "target_modules": ["*"] * 1000}},
    "a number of a list": {"optimizer": {"name": "adamw", "betas": [0.9, 1.5]}},
    "true as a number": {"optimizer": {"name": "adamw", "eps": True}},
    "a choice between models": {"data": {"train": {"uri": "/data/" + "x" * 5000}}},
    "a document": {"model": {"config": {"model_type": "llama", "note": "x" * 100_000}}},
}


def written(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": "/data/train.jsonl"}},
        "training": {"steps": 100},
        **changes,
    }


@pytest.mark.parametrize("changes", OVER_A_BOUND.values(), ids=OVER_A_BOUND)
def test_a_value_over_a_bound_is_read_and_a_new_one_is_refused(changes: dict[str, Any]) -> None:
    document = written(changes)
    with pytest.raises(ValidationError):
        TrainSpec.model_validate(document)
    spec = read_accepted(TrainSpec, document)
    assert isinstance(spec, TrainSpec)
    read = spec.model_dump(mode="json", exclude_unset=True)
    assert {key: read[key] for key in changes} == changes


def test_a_field_of_another_method_is_left_out_whatever_its_bound() -> None:
    document = written({"method": {"name": "full", "rank": 10**9}})
    assert read_accepted(TrainSpec, document) == read_accepted(
        TrainSpec, written({"method": "full"})
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": "many"}},
        {"training": {"steps": 1, "later": True}},
        {"method": {"name": "unheard"}},
        {"data": {}},
    ],
    ids=["a wrong type", "an unknown field", "an unknown choice", "a missing field"],
)
def test_what_cannot_be_read_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_accepted(TrainSpec, written(changes))


def test_a_spec_within_its_bounds_is_read_as_a_new_one_is() -> None:
    document = written({})
    assert read_accepted(TrainSpec, document) == TrainSpec.model_validate(document)
