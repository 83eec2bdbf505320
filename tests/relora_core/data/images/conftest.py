from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

WriteImages = Callable[..., Path]
Pixels = NDArray[np.uint8]


def noise(number: int, *, height: int = 9, width: int = 8) -> Pixels:
    """The pixels of an image like no other."""
    random = np.random.default_rng(number)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def write_images(tmp_path: Path) -> WriteImages:
    """Write so many images for each label to a folder of that name."""

    def write(name: str = "images", /, *, first: int = 0, **counts: int) -> Path:
        root = tmp_path / name
        for label, count in counts.items():
            (root / label).mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                Image.fromarray(noise(first)).save(root / label / f"{first:03d}.png")
                first += 1
        return root

    return write
