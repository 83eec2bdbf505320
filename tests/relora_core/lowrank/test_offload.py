import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
import torch
from torch import Tensor

from relora_core.lowrank.frozen.offload import offload_to_disk


def numbers(count: int = 3) -> Tensor:
    return torch.arange(2 * count, dtype=torch.int16).view(2, count) - 3


@pytest.mark.parametrize("tensor", [numbers(), numbers().T, numbers().int(), numbers(0)])
def test_what_is_read_is_what_was_put_down(tensor: Tensor) -> None:
    read = offload_to_disk(tensor)
    assert torch.equal(read(), tensor)
    assert read().dtype == tensor.dtype


def test_who_writes_to_what_was_read_changes_nothing_for_the_next() -> None:
    read = offload_to_disk(numbers())
    read().zero_()
    assert torch.equal(read(), numbers())


GROWTH = """
    from pathlib import Path

    import torch
    from relora_core.lowrank.frozen.offload import offload_to_disk

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident_bytes()
    tensor = torch.ones(64 * 2**20, dtype=torch.uint8)
    read = offload_to_disk(tensor)
    print(resident_bytes() - before)
    del tensor
    print(resident_bytes() - before)
    assert int(read().sum()) == 64 * 2**20
    print(resident_bytes() - before)
"""


@pytest.mark.integration
@pytest.mark.slow
def test_it_takes_no_memory_before_it_is_read_nor_after() -> None:
    # a process of its own, whose malloc returns what is freed
    command = [sys.executable, "-c", textwrap.dedent(GROWTH)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    held, offloaded, after = (int(line) for line in result.stdout.split())
    assert held > 64 * 2**20
    assert offloaded < 16 * 2**20
    assert after < 16 * 2**20


def test_where_no_file_can_be_written_it_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert torch.equal(offload_to_disk(numbers())(), numbers())


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read = offload_to_disk(numbers())
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(read(), numbers())
