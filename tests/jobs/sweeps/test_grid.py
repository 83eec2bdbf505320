"""The expansion of a base spec and a grid into the specs of jobs."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.schemas.job import JobSpec
from jobs.sweeps.grid import InvalidSweep, plan
from relora_core.spec.error_messages import FieldError

BASE: dict[str, Any] = {
    "name": "base",
    "model": {"preset": "llama_9m"},
    "data": {"train": {"uri": "file:///corpus/*.txt"}},
    "training": {"steps": 100},
}


def refused(grid: dict[str, Any], base: dict[str, Any] = BASE) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSweep) as caught:
        plan(base, grid)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def test_there_is_a_job_for_each_combination_in_the_order_of_the_grid() -> None:
    planned = plan(BASE, {"method": ["lora", "relora"], "rank": [8, 16]})
    assert [one.spec.name for one in planned] == [
        "base/method=lora,rank=8",
        "base/method=lora,rank=16",
        "base/method=relora,rank=8",
        "base/method=relora,rank=16",
    ]
    assert [one.spec.model_dump()["method"]["rank"] for one in planned] == [8, 16, 8, 16]
    assert planned[0].changes == {"method": "lora", "rank": 8}


def test_combinations_that_come_to_the_same_run_are_one_job() -> None:
    planned = plan(BASE, {"method": ["full", "lora"], "rank": [8, 16], "seed": [0, 1]})
    assert [one.spec.name for one in planned] == [
        "base/method=full,seed=0",
        "base/method=full,seed=1",
        "base/method=lora,rank=8,seed=0",
        "base/method=lora,rank=8,seed=1",
        "base/method=lora,rank=16,seed=0",
        "base/method=lora,rank=16,seed=1",
    ]


@pytest.mark.parametrize(
    "grid",
    [
        {"optimizer.learning_rate": [1e-3, 1e-4]},
        {"optimizer": {"learning_rate": [1e-3, 1e-4]}},
        {"learning_rate": [1e-3, 1e-4]},
    ],
)
def test_a_field_is_a_path_or_parts_or_a_name_that_only_one_part_has(grid: dict[str, Any]) -> None:
    assert [one.spec.optimizer.learning_rate for one in plan(BASE, grid)] == [1e-3, 1e-4]


def test_a_whole_part_and_a_null_are_values_too() -> None:
    grid = {"model": [{"preset": "llama_9m"}, {"preset": "llama_20m"}], "evaluation.every": [None]}
    planned = plan(BASE, grid)
    assert [one.spec.model_dump()["model"]["preset"] for one in planned] == [
        "llama_9m",
        "llama_20m",
    ]
    assert planned[0].spec.evaluation.every is None
    assert planned[0].spec.name == 'base/model={"preset": "llama_9m"},evaluation.every=null'


def test_what_the_base_says_of_the_method_stays() -> None:
    base = {**BASE, "method": {"name": "relora", "rank": 4, "alpha": 8}}
    (lora,) = plan(base, {"method": ["lora"]})
    assert lora.spec.model_dump()["method"]["alpha"] == 8
    (short,) = plan({**BASE, "method": "lora"}, {"rank": [4]})
    assert (short.spec.method.name, short.spec.model_dump()["method"]["rank"]) == ("lora", 4)


def test_a_field_of_the_method_belongs_to_the_default_method_where_the_base_has_none() -> None:
    planned = plan(BASE, {"rank": [4, 8]})
    assert [(one.spec.method.name, one.spec.model_dump()["method"]["rank"]) for one in planned] == [
        ("relora", 4),
        ("relora", 8),
    ]


def test_a_grid_may_compare_planned_restarts_with_those_that_a_run_decides_on() -> None:
    base = {**BASE, "method": "relora"}
    planned = plan(base, {"reset_every": [5, "auto"], "reset": ["whole", "half"]})
    phases = [one.spec.phases for one in planned]
    assert [each.is_automatic for each in phases] == [False, False, True, True]


def test_a_grid_may_give_what_the_base_leaves_out() -> None:
    base = {key: value for key, value in BASE.items() if key != "training"}
    assert [one.spec.training.steps for one in plan(base, {"steps": [10, 20]})] == [10, 20]


def test_a_wrong_value_of_the_grid_is_told_once_by_its_name_there() -> None:
    assert refused({"method": ["full", "lora"], "rank": [0, 8]}) == [
        ("grid.rank", "with rank=0: must be at least 1; got 0")  # method full also ignores it
    ]
    assert refused({"method": ["dora"], "rank": [4, 8]}) == [
        ("grid.method", "no name 'dora'; did you mean `lora`?")
    ]
    assert refused({"model": [{"preset": "llama_9m"}, {"preset": "llama9"}]}) == [
        (
            "grid.model.preset",
            'with model={"preset": "llama9"}: no preset \'llama9\'; did you mean `llama_9m`?',
        )
    ]


def test_what_is_wrong_in_the_base_is_told_once_by_its_path_there() -> None:
    base = {**BASE, "training": {"steps": 100, "seed": -1}}
    assert refused({"learning_rate": [1e-3, 1e-4]}, base) == [
        ("base.training.seed", "must be at least 0; got -1")
    ]


def test_what_is_wrong_in_some_combinations_names_the_values_that_they_share() -> None:
    def check(spec: JobSpec) -> Iterator[FieldError]:
        method = spec.model_dump()["method"]
        if (method["name"], method["rank"]) == ("lora", 16):
            yield FieldError("resources.gpus", "too few")

    grid = {"method": ["lora", "relora"], "rank": [8, 16], "seed": [0, 1]}
    with pytest.raises(InvalidSweep) as caught:
        plan(BASE, grid, check)
    assert caught.value.problems == [
        FieldError("base.resources.gpus", "with method=lora, rank=16: too few")
    ]


@pytest.mark.parametrize(
    ("grid", "path", "message"),
    [
        ({"rank": 8}, "grid.rank", "give a list of at least one value"),
        ({"rank": []}, "grid.rank", "give a list of at least one value"),
        ({"name": ["a"]}, "grid.name", "the jobs are named by the sweep; change another field"),
        ({"rnak": [8]}, "grid.rnak", "no part has this field"),
        ({"model.preset.x": [8]}, "grid.model.preset.x", "`preset` of the base has no fields"),
        ({"seed": list(range(201))}, "grid", "201 combinations; a sweep has at most 200"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(
    grid: dict[str, Any], path: str, message: str
) -> None:
    assert refused(grid) == [(path, message)]


def test_a_name_that_many_parts_have_is_asked_back() -> None:
    ((path, message),) = refused({"every": [8]})
    assert path == "grid.every"
    assert message.startswith("which one? write `evaluation.every`, ")


def test_the_base_is_left_as_it_was() -> None:
    base = {**BASE, "method": {"name": "lora"}}
    plan(base, {"rank": [4]})
    assert base["method"] == {"name": "lora"}
