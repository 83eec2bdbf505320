"""Presets and recipes over HTTP."""

import httpx
import pytest

from jobs.schemas.job import JobSpec
from relora_core.presets import RECIPES, preset_config, preset_names


def test_presets_are_listed_with_their_sizes(http: httpx.Client) -> None:
    page = http.get("/v1/presets").json()
    assert [one["name"] for one in page["items"]] == preset_names()
    small = page["items"][0]
    assert (small["name"], small["family"], small["layers"]) == ("llama_9m", "llama", 4)
    assert small["parameters"] == 9_021_568
    assert page["next"] is None


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("presets/lama-130m", "There is no preset 'lama-130m'; did you mean `llama_130m`?"),
        ("recipes/relora_130", "There is no recipe 'relora_130'; did you mean `relora_130m`?"),
    ],
)
def test_for_an_unknown_name_the_nearest_is_told(
    http: httpx.Client, path: str, detail: str
) -> None:
    assert http.get(f"/v1/{path}").json()["detail"] == detail


@pytest.mark.parametrize(
    ("name", "task"), [("llama_130m", "causal_lm"), ("vit_tiny", "image_classification")]
)
def test_a_preset_has_its_config(http: httpx.Client, name: str, task: str) -> None:
    preset = http.get(f"/v1/presets/{name}").json()
    assert (preset["task"], preset["config"]) == (task, preset_config(name))


def test_recipes_are_listed_with_their_sources(http: httpx.Client) -> None:
    items = http.get("/v1/recipes").json()["items"]
    assert [one["name"] for one in items] == list(RECIPES)
    assert all(one["source"].startswith("paper's main table") for one in items)


def test_a_recipe_is_a_spec_that_is_accepted(http: httpx.Client) -> None:
    recipe = http.get("/v1/recipes/relora_60m").json()
    assert JobSpec.model_validate(recipe["spec"]).training.steps == 10_000


@pytest.mark.parametrize("kind", ["preset", "recipe"])
def test_a_name_that_there_is_not_is_not_found(http: httpx.Client, kind: str) -> None:
    response = http.get(f"/v1/{kind}s/none")
    assert (response.status_code, response.json()["code"]) == (404, f"{kind}_not_found")
    first = next(iter(RECIPES if kind == "recipe" else preset_names()))
    assert response.json()["detail"].startswith(f"There is no {kind} 'none'; there are {first}, ")
