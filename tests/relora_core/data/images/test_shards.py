from pathlib import Path

import numpy as np
import pytest
import torch

from relora_core.data.images.shards import ImageShards, Shuffled


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """100 images of 2 x 2 pixels: number n is n in its left column and n + 100 in its right."""
    pixels = np.arange(100, dtype=np.uint8).repeat(12).reshape(100, 3, 2, 2)
    pixels[..., 1] += 100
    pixels.tofile(tmp_path / "pixels")
    np.arange(100, dtype="<u4").tofile(tmp_path / "labels")
    return tmp_path / "pixels", tmp_path / "labels"


def test_images_are_read_by_number_with_their_labels(files: tuple[Path, Path]) -> None:
    batch = ImageShards(*files, size=2).examples(np.array([7, 3]), np.array([0, 1]))
    assert batch.inputs.dtype == torch.uint8
    assert batch.inputs[:, 2].tolist() == [[[7, 107], [7, 107]], [[3, 103], [3, 103]]]
    assert batch.targets.tolist() == [7, 3]


def test_an_image_is_mirrored_by_a_coin_of_seed_and_position(files: tuple[Path, Path]) -> None:
    indices = np.zeros(1000, dtype=np.int64)

    def mirrored(seed: int, start: int) -> torch.Tensor:
        shards = ImageShards(*files, size=2, flip_seed=seed)
        batch = shards.examples(indices, np.arange(start, start + 1000))
        return batch.inputs[:, 0, 0, 0] == 100

    first = mirrored(0, 0)
    assert 450 < first.sum() < 550
    assert torch.equal(mirrored(0, 400)[:600], first[400:])
    assert 400 < (mirrored(1, 0) == first).sum() < 600


def test_reading_leaves_the_images_as_they_are(files: tuple[Path, Path]) -> None:
    before = files[0].read_bytes()
    shards = ImageShards(*files, size=2, flip_seed=0)
    shards.examples(np.arange(100), np.arange(100)).inputs.zero_()
    assert files[0].read_bytes() == before


def test_shuffled_has_the_same_images_in_another_order(files: tuple[Path, Path]) -> None:
    shuffled = Shuffled(ImageShards(*files, size=2))
    labels = shuffled.examples(np.arange(100), np.arange(100)).targets.tolist()
    assert sorted(labels) == list(range(100)) != labels
