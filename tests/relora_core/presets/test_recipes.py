from typing import Any

import pytest

from relora_core.presets import RECIPES, expand_recipe
from relora_core.spec import TrainSpec

METHODS = ("full", "control", "lora", "relora")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_whole_spec(name: str) -> None:
    spec = TrainSpec.model_validate({"recipe": name})
    assert spec.method.name == name.partition("_")[0]
    assert RECIPES[name].source


@pytest.mark.parametrize(
    ("name", "billions"), [("60m", 2.46), ("130m", 6.14), ("250m", 11.80), ("1b", 23.59)]
)
def test_the_methods_of_one_size_see_the_same_tokens(name: str, billions: float) -> None:
    runs = [TrainSpec.model_validate({"recipe": f"{m}_{name}"}) for m in METHODS]
    tokens = {run.total_steps * run.tokens_per_step for run in runs}
    assert [round(n / 1e9, 2) for n in tokens] == [billions]


@pytest.mark.parametrize(
    ("written", "path", "expected"),
    [
        ({"training": {"steps": 7}}, ("training", "global_batch_size"), 480),
        ({"training": {"tokens": 10**6}}, ("training", "tokens"), 10**6),
        ({"model": {"preset": "llama_9m"}}, ("model",), {"preset": "llama_9m"}),
    ],
)
def test_what_is_written_beside_a_recipe_wins(
    written: dict[str, Any], path: tuple[str, ...], expected: object
) -> None:
    value: Any = expand_recipe({"recipe": "relora_60m", **written})
    for key in path:
        value = value[key]
    assert value == expected


@pytest.mark.parametrize(
    ("written", "left_out"),
    [
        ({"training": {"tokens": 10**9}}, ("training", "steps")),
        ({"method": {"warm_start_from": "run"}}, ("method", "warm_start_steps")),
        (
            {"optimizer": {"factor_learning_rate": "auto"}},
            ("optimizer", "low_rank_learning_rate"),
        ),
    ],
)
def test_of_two_fields_that_exclude_each_other_the_written_one_is_left(
    written: dict[str, Any], left_out: tuple[str, str]
) -> None:
    part, field = left_out
    spec = expand_recipe({"recipe": "relora_60m", **written})
    assert field not in spec[part]
    assert TrainSpec.model_validate(spec)
    assert field in expand_recipe({"recipe": "relora_60m"})[part]
