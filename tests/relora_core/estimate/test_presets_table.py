import json

import pytest

from relora_core.__main__ import main
from relora_core.estimate.presets_table import trainable_parameters
from relora_core.presets import MODELS, RECIPES, VISION_MODELS
from relora_core.shapes import model_shape


@pytest.mark.parametrize(
    ("preset", "millions"),
    [
        ("llama_60m", 42.9),
        ("llama_130m", 71.7),
        ("llama_250m", 98.9),
        ("llama_350m", 125.6),
        ("llama_1b", 251.1),
    ],
)
def test_as_many_parameters_are_trained_at_rank_128_as_in_the_paper(
    preset: str, millions: float
) -> None:
    assert round(trainable_parameters(preset) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("pythia_70m", 70_426_624),
        ("pythia_160m", 162_322_944),
        ("pythia_410m", 405_334_016),
        ("pythia_1b", 1_011_781_632),
        ("pythia_1_4b", 1_414_647_808),
        ("pythia_2_8b", 2_775_208_960),
        ("pythia_6_9b", 6_857_302_016),
        ("pythia_12b", 11_846_072_320),
    ],
)
def test_a_pythia_has_as_many_parameters_as_was_published(preset: str, parameters: int) -> None:
    assert model_shape(MODELS[preset]).parameters == parameters


def test_the_table_lists_every_model_and_every_recipe_with_its_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    first_words = [line.split()[0].rstrip(":") for line in text.splitlines() if line]
    assert {*MODELS, *VISION_MODELS} <= set(first_words)
    assert all(first_words.count(name) == 2 for name in RECIPES)  # its numbers, its source
    assert "authors' scripts/60M_relora.sh" in text


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in document["models"]] == list(MODELS)
    assert [model["name"] for model in document["vision_models"]] == list(VISION_MODELS)
    assert {r["name"]: r["spec"] for r in document["recipes"]} == {
        name: recipe.spec for name, recipe in RECIPES.items()
    }
