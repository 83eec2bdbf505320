"""List the presets as a table or as JSON."""

import json
from typing import Any

from relora_core.estimate.parameter_plan import low_rank
from relora_core.estimate.text_table import text_table
from relora_core.presets.models import MODELS, VISION_MODELS
from relora_core.presets.recipes import RECIPES
from relora_core.shapes import model_shape
from relora_core.spec import LowRank, TrainSpec

RANK = 128  # the paper's


def trainable_parameters(preset: str, *, rank: int = RANK) -> int:
    """Return the trainable parameters of a preset in the low-rank phase.

    Every linear layer of the blocks is a target. The rank is at most the hidden size.
    """
    shape = model_shape(MODELS[preset])
    return low_rank(shape, LowRank(rank=min(rank, shape.hidden))).trained


def models() -> list[dict[str, Any]]:
    return [
        {
            **_sizes(name, config),
            "vocabulary": config["vocab_size"],
            "parameters": model_shape(config).parameters,
            "trainable_at_rank_128": trainable_parameters(name),
        }
        for name, config in MODELS.items()
    ]


def vision_models() -> list[dict[str, Any]]:
    return [
        {
            **_sizes(name, config),
            "patch_size": config["patch_size"],
            "image_size": config["image_size"],
        }
        for name, config in VISION_MODELS.items()
    ]


def _sizes(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "family": config["model_type"],
        "hidden": config["hidden_size"],
        "intermediate": config["intermediate_size"],
        "heads": config["num_attention_heads"],
        "layers": config["num_hidden_layers"],
    }


def recipes() -> list[dict[str, Any]]:
    return [
        {"name": name, "source": recipe.source, "spec": recipe.spec}
        for name, recipe in RECIPES.items()
    ]


def as_json() -> str:
    return json.dumps(
        {"models": models(), "vision_models": vision_models(), "recipes": recipes()}, indent=2
    )


def as_text() -> str:
    return "\n".join(
        [
            "Models: model: {preset: NAME}",
            "",
            _model_table(),
            "",
            "Models for task: image_classification",
            "",
            _vision_table(),
            "",
            "Recipes: recipe: NAME; what is written beside it wins",
            "",
            _recipe_table(),
            "",
            "Sources, all of arXiv 2307.05695 and its authors' repository Guitaricet/relora:",
            *(f"  {recipe['name']}: {recipe['source']}" for recipe in recipes()),
        ]
    )


def _model_table() -> str:
    header = ["name", "family", "hidden", "inner", "heads", "layers", "vocabulary"]
    counts = ["parameters", f"trainable at rank {RANK}"]
    rows = []
    for model in models():
        *shape, parameters, trainable = model.values()
        numbers = [f"{parameters / 1e6:,.1f}M", f"{trainable / 1e6:,.1f}M"]
        rows.append([*map(str, shape), *numbers])
    return text_table([*header, *counts], rows, left=2)


def _vision_table() -> str:
    header = ["name", "family", "hidden", "inner", "heads", "layers", "patch", "image"]
    rows = [[*map(str, model.values())] for model in vision_models()]
    return text_table(header, rows, left=2)


def _recipe_table() -> str:
    header = [
        "name", "model", "steps", "batch", "warm start", "reset every", "rate", "low-rank rate",
    ]  # fmt: skip
    rows = []
    for name, recipe in RECIPES.items():
        training, method = recipe.spec["training"], recipe.spec["method"]
        rates = recipe.spec["optimizer"]
        run = TrainSpec.model_validate({"recipe": name})
        low_rank_run = run.phases.at(run.total_steps - 1) == "low_rank"
        rows.append(
            [
                name,
                recipe.spec["model"]["preset"],
                f"{training['steps']:,}",
                str(training["global_batch_size"]),
                str(method.get("warm_start_steps", "-")),
                str(method.get("reset_every", "-")),
                f"{rates['learning_rate']:.0e}",
                f"{rates['low_rank_learning_rate']:.0e}" if low_rank_run else "-",
            ]
        )
    return text_table(header, rows, left=2)
