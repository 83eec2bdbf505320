"""Model presets and recipes that a spec can name."""

from fastapi import APIRouter

from jobs.errors import NotFound
from relora_core.presets import RECIPES, preset_names
from relora_core.suggestions import no_such
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import Id
from service.schemas.pages import Page
from service.schemas.presets import (
    Preset,
    PresetConfig,
    RecipeEntry,
    all_presets,
    all_recipes,
    preset,
    recipe,
)

router = APIRouter(prefix="/v1", tags=["presets"], route_class=CallerRoute)


class PresetNotFound(NotFound):
    code = "preset_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is {no_such('preset', name, preset_names())}")


class RecipeNotFound(NotFound):
    code = "recipe_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is {no_such('recipe', name, RECIPES)}")


@router.get("/presets", summary="List model presets")
def list_presets() -> Page[Preset]:
    """Return the model presets with their sizes."""
    return Page[Preset](items=all_presets(), next=None)


@router.get("/presets/{name}", summary="Show a model preset", responses=documented(404))
def get_preset(name: Id) -> PresetConfig:
    """Return a model preset with its Hugging Face config."""
    if (found := preset(name)) is None:
        raise PresetNotFound(name)
    return found


@router.get("/recipes", summary="List recipes")
def list_recipes() -> Page[RecipeEntry]:
    """Return the runs of the paper, each with its source."""
    return Page[RecipeEntry](items=all_recipes(), next=None)


@router.get("/recipes/{name}", summary="Show a recipe", responses=documented(404))
def get_recipe(name: Id) -> RecipeEntry:
    """Return a run of the paper with the part of a spec that it fills in."""
    if (found := recipe(name)) is None:
        raise RecipeNotFound(name)
    return found
