"""Model presets and recipes, as the API shows them."""

from typing import Any

from pydantic import BaseModel, Field

from relora_core.estimate.presets_table import models, vision_models
from relora_core.presets import RECIPES, VISION_MODELS, preset_config, preset_names
from relora_core.spec import TaskName


class Preset(BaseModel):
    """The shape of a model. A spec names it by `model: {preset: NAME}`."""

    name: str = Field(examples=["llama_130m"])
    task: TaskName
    family: str = Field(examples=["llama"])
    hidden: int
    intermediate: int
    heads: int
    layers: int
    vocabulary: int | None = None
    patch_size: int | None = None
    image_size: int | None = None
    parameters: int | None = Field(default=None, description="Null for a vision model.")
    trainable_at_rank_128: int | None = Field(
        default=None, description="In the low-rank phase of ReLoRA with the paper's rank."
    )


class PresetConfig(Preset):
    config: dict[str, Any] = Field(description="The Hugging Face config.")


class RecipeEntry(BaseModel):
    """A run of the paper. A spec names it by `recipe: NAME`; other fields of the spec override
    it.
    """

    name: str = Field(examples=["relora_130m"])
    source: str = Field(description="Where its numbers come from.")
    spec: dict[str, Any] = Field(description="The part of a spec that it fills in.")


def all_presets() -> list[Preset]:
    return [Preset(task=_task(one["name"]), **one) for one in [*models(), *vision_models()]]


def preset(name: str) -> PresetConfig | None:
    if name not in preset_names():
        return None
    (found,) = (one for one in all_presets() if one.name == name)
    return PresetConfig(**dict(found), config=preset_config(name))


def all_recipes() -> list[RecipeEntry]:
    return [entry for name in RECIPES if (entry := recipe(name))]


def recipe(name: str) -> RecipeEntry | None:
    if name not in RECIPES:
        return None
    return RecipeEntry(name=name, source=RECIPES[name].source, spec=dict(RECIPES[name].spec))


def _task(name: str) -> TaskName:
    return "image_classification" if name in VISION_MODELS else "causal_lm"
