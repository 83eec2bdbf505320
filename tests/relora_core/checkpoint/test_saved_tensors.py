"""Tensors of a checkpoint are read by name, whole or in part."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relora_core.checkpoint.saved_tensors import SavedTensors

VALUES = torch.arange(12.0).view(4, 3).bfloat16()


@pytest.fixture
def saved(tmp_path: Path) -> SavedTensors:
    save_file({"a": VALUES, "one": torch.tensor(3)}, tmp_path / "model-00001.safetensors")
    save_file({"b": -VALUES}, tmp_path / "model-00002.safetensors")
    save_file({"other": VALUES}, tmp_path / "optimizer-00001.safetensors")
    return SavedTensors(tmp_path, "model")


def test_all_files_of_a_kind_are_one(saved: SavedTensors) -> None:
    assert sorted(saved) == ["a", "b", "one"]
    assert "b" in saved
    assert "other" not in saved
    assert torch.equal(saved.read("b"), -VALUES)
    assert saved.read("one").item() == 3


@pytest.mark.parametrize("rows", [slice(0, 2), slice(3, 4), slice(4, 4)])
def test_a_rank_reads_its_rows(rows: slice, saved: SavedTensors) -> None:
    assert saved.shape("a") == (4, 3)
    part = saved.read("a", rows)
    assert part.dtype == torch.bfloat16
    assert torch.equal(part, VALUES[rows])
