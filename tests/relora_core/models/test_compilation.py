"""What torch.compile needs is known before it fails in the first step."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

import pytest
import torch

from relora_core.models import compilation
from relora_core.models.compilation import missing_for_compiling

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lacks nothing: an H100, Triton, compilers and the headers in a folder."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(compilation, "find_spec", lambda _: importlib.util.find_spec("torch"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(shutil, "which", lambda compiler: f"/usr/bin/{compiler}")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("device", [CPU, GPU])
def test_nothing_is_missing_on_a_complete_machine(device: torch.device, complete: Path) -> None:
    assert complete.exists()
    assert missing_for_compiling(device) is None


@pytest.mark.parametrize("device", [CPU, GPU])
def test_the_headers_of_python_are_needed_too(device: torch.device, complete: Path) -> None:
    (complete / "Python.h").unlink()
    assert "python3-dev" in (missing_for_compiling(device) or "")


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(("device", "compiler"), [(CPU, "g++"), (GPU, "gcc")])
def test_a_compiler_is_needed(
    device: torch.device, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert compiler in (missing_for_compiling(device) or "")


@pytest.mark.usefixtures("complete")
def test_a_gpu_needs_triton_and_a_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "find_spec", lambda _: None)
    assert "Triton" in (missing_for_compiling(GPU) or "")
    assert missing_for_compiling(CPU) is None


@pytest.mark.usefixtures("complete")
def test_triton_needs_a_newer_gpu_than_pascal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    assert "this one has 6.1" in (missing_for_compiling(GPU) or "")
