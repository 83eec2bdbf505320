"""Presets and recipes, on the command line."""

import json
from pathlib import Path

import yaml

from jobs.backends import Backends
from relora_core.presets import RECIPES, preset_config, preset_names
from tests.service.cli.conftest import Relora


def test_presets_are_listed(relora: Relora) -> None:
    _, *rows = relora("presets", "list").stdout.splitlines()
    assert [row.split()[0] for row in rows] == list(preset_names())
    lines = relora("presets", "list", "--json").stdout.splitlines()
    assert json.loads(lines[0])["name"] == rows[0].split()[0]


def test_a_preset_is_shown_as_the_model_of_a_spec(relora: Relora) -> None:
    text = relora("presets", "show", "llama_130m").stdout
    assert yaml.safe_load(text) == {"model": {"config": preset_config("llama_130m")}}
    assert text.startswith("# ")


def test_recipes_are_listed_with_what_they_are(relora: Relora) -> None:
    header, *rows = relora("recipes", "list").stdout.splitlines()
    assert header.split() == ["name", "model", "method", "steps", "batch", "length"]
    assert [row.split()[0] for row in rows] == list(RECIPES)
    assert ["relora_130m", "llama_130m", "relora", "20,000", "600", "512"] in [
        row.split() for row in rows
    ]


def test_a_recipe_is_shown_as_a_spec_that_is_submitted(
    relora: Relora, backends: Backends, tmp_path: Path
) -> None:
    text = relora("recipes", "show", "relora_130m").stdout
    (tmp_path / "job.yaml").write_text(text.replace("steps: 20000", "steps: 10000"))
    assert relora("jobs", "submit", tmp_path / "job.yaml").exit_code == 0
    (job,) = backends.store.list()
    assert (job.name, job.spec.method.name, job.spec.training.steps) == (
        "relora_130m",
        "relora",
        10_000,
    )


def test_every_recipe_is_a_spec_that_would_be_accepted(relora: Relora, tmp_path: Path) -> None:
    for name in RECIPES:
        (tmp_path / "job.yaml").write_text(relora("recipes", "show", name).stdout)
        assert relora("estimate", tmp_path / "job.yaml").exit_code == 0


def test_an_unknown_recipe_is_a_wrong_command(relora: Relora) -> None:
    result = relora("recipes", "show", "relora_130")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no recipe 'relora_130'" in result.stderr
