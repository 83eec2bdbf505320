from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from relora_core.spec import TrainSpec

TINY_VIT: dict[str, Any] = {
    "model_type": "vit",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 4,
}

MakeImageSpec = Callable[..., TrainSpec]


def stripes(label: str, number: int) -> Image.Image:
    """20 x 24 pixels in a dark and a bright colour, in bands that lie, stand or cross."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:24, :20] + random.integers(0, 8, 2)[:, None, None]
    lying, standing = rows // 4 % 2, columns // 4 % 2
    pattern = {"lying": lying, "standing": standing, "crossed": lying ^ standing}[label]
    colours = random.integers([[0], [160]], [[96], [256]], (2, 3), dtype=np.uint8)
    return Image.fromarray(colours[pattern])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images in a folder for each of three labels."""
    root = tmp_path_factory.mktemp("images")
    for number in range(240):
        label = ("lying", "standing", "crossed")[number % 3]
        (root / label).mkdir(exist_ok=True)
        stripes(label, number).save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def make_image_spec(folder: Path) -> MakeImageSpec:
    """A run of 12 steps with a warm start of 4 and restarts at 8; keywords replace its parts."""

    def make(**changes: dict[str, Any] | str) -> TrainSpec:
        document: dict[str, Any] = {
            "task": "image_classification",
            "model": {"config": TINY_VIT},
            "data": {
                "train": {"uri": str(folder)},
                "validation": {"fraction": 0.2},
                "image_size": 16,
            },
            "method": {"name": "relora", "rank": 4, "warm_start_steps": 4, "reset_every": 4},
            "training": {
                "steps": 12,
                "global_batch_size": 8,
                "precision": "fp32",
                "compile": False,
                "log_every": 1,
            },
            "optimizer": {"learning_rate": 3e-3},
            "evaluation": {"every": None},
            "spectrum": {"enabled": False},  # it has tests of its own, and takes its time
            "checkpoint": {"every": 5},
            "export": {"dtype": "fp32"},
        }
        for part, change in changes.items():
            below = {} if part == "model" else document.get(part, {})
            document[part] = {**below, **change} if isinstance(change, dict) else change
        return TrainSpec.model_validate(document)

    return make
