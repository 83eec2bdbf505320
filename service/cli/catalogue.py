"""`relora presets`, `relora recipes`: model presets, and complete specs to start from."""

from collections.abc import Mapping
from textwrap import fill
from typing import Annotated, Any

import typer
import yaml

from service.cli.session import URL, AsJson, Url, connected, group, print_all, print_json
from service.cli.tables.installation import preset_table, recipe_table

presets = group("Model shapes that a spec may name: model: {preset: NAME}.")
recipes = group("Runs of the paper, each a whole spec to begin with.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As in the list.")]


@presets.command("list")
def list_presets(*, url: Url = URL, json: AsJson = False) -> None:
    """List the model shapes."""
    with connected(url) as client:
        found = client.presets.list()
        print_all(found, preset_table, json=json)


@presets.command("show")
def show_preset(name: Name, *, url: Url = URL, json: AsJson = False) -> None:
    """Print a shape as the `model` of a spec, written out, to be changed and used."""
    with connected(url) as client:
        preset = client.presets.get(name)
    if json:
        print_json(preset)
    else:
        typer.echo(f"# {name}; as it is, `model: {{preset: {name}}}` says the same")
        _print_spec({"model": {"config": preset.config}})


@recipes.command("list")
def list_recipes(*, url: Url = URL, json: AsJson = False) -> None:
    """List the runs of the paper."""
    with connected(url) as client:
        found = client.recipes.list()
        print_all(found, recipe_table, json=json)


@recipes.command("show")
def show_recipe(name: Name, *, url: Url = URL, json: AsJson = False) -> None:
    """Print a run as a job spec, to be edited and submitted: relora recipes show NAME > job.yaml"""
    with connected(url) as client:
        recipe = client.recipes.get(name)
    if json:
        print_json(recipe)
    else:
        typer.echo(fill(recipe.source, initial_indent="# ", subsequent_indent="# "))
        _print_spec({"name": recipe.name, **recipe.spec})


def _print_spec(spec: Mapping[str, Any]) -> None:
    typer.echo(yaml.safe_dump(dict(spec), sort_keys=False, width=100), nl=False)
