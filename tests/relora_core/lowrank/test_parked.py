import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from relora_core.lowrank.frozen.parked import park


def numbers(count: int = 3) -> Tensor:
    return torch.arange(2 * count, dtype=torch.int16).view(2, count) - 3


@pytest.mark.parametrize("tensor", [numbers(), numbers().T, numbers().int(), numbers(0)])
def test_what_is_read_is_what_was_put_down(tensor: Tensor) -> None:
    read = park(tensor)
    assert torch.equal(read(), tensor)
    assert read().dtype == tensor.dtype


def test_who_writes_to_what_was_read_changes_nothing_for_the_next() -> None:
    read = park(numbers())
    read().zero_()
    assert torch.equal(read(), numbers())


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_it_takes_no_memory_before_it_is_read_nor_after() -> None:
    size = 64 * 1024**2
    before = resident_bytes()
    tensor = torch.ones(size, dtype=torch.uint8)
    read = park(tensor)
    assert resident_bytes() - before > size
    del tensor
    assert resident_bytes() - before < size / 4
    assert int(read().sum()) == size
    assert resident_bytes() - before < size / 4


def test_where_no_file_can_be_written_it_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert torch.equal(park(numbers())(), numbers())


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read = park(numbers())
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(read(), numbers())
