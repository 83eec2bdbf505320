"""Model shapes and recipes by name, without torch. `python -m relora_core presets` prints them."""

from relora_core.presets.models import MODELS, VISION_MODELS, preset_config, preset_names
from relora_core.presets.recipes import RECIPES, Recipe, expand_recipe

__all__ = [
    "MODELS",
    "RECIPES",
    "VISION_MODELS",
    "Recipe",
    "expand_recipe",
    "preset_config",
    "preset_names",
]
