"""The GPUs that a worker finds, with a script in place of `nvidia-smi`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.schemas.workers import Gpu
from worker.node.gpus import GpusUnreadable, gpus_here

pytestmark = pytest.mark.integration

MIB, GIB = 1 << 20, 1 << 30
A100 = Gpu(name="NVIDIA A100", memory_bytes=40960 * MIB, uuid="GPU-aaaa-1")
T4 = Gpu(name="Tesla T4", memory_bytes=15360 * MIB, uuid="GPU-bbbb-2")
H100 = Gpu(name="NVIDIA H100, SXM", memory_bytes=81559 * MIB, uuid="GPU-cccc-3")
SLICE = Gpu(name="NVIDIA A100 MIG 1g.5gb", memory_bytes=5 * GIB, uuid="MIG-dddd-4")
LARGE_SLICE = Gpu(name="NVIDIA A100 MIG 3g.20gb", memory_bytes=20 * GIB, uuid="MIG-eeee-5")
THREE = """\
GPU-aaaa-1, NVIDIA A100, 40960
GPU-bbbb-2, Tesla T4, 15360
GPU-cccc-3, NVIDIA H100, SXM, 81559
"""
SLICES = """\
GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)
  MIG 1g.5gb      Device  0: (UUID: MIG-dddd-4)
  MIG 3g.20gb     Device  1: (UUID: MIG-eeee-5)
GPU 1: Tesla T4 (UUID: GPU-bbbb-2)
GPU 2: NVIDIA H100, SXM (UUID: GPU-cccc-3)
"""

Driver = Callable[..., None]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Return a function that installs a fake `nvidia-smi` with these lists of GPUs and slices."""

    def install(gpus: str, *, slices: str = "", exit_code: int = 0) -> None:
        (tmp_path / "gpus").write_text(gpus)
        (tmp_path / "slices").write_text(slices)
        program = tmp_path / "nvidia-smi"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = -L ] && cat {tmp_path}/slices || cat {tmp_path}/gpus\n'
            f"exit {exit_code}\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


def test_gpus_are_those_that_the_driver_lists(driver: Driver) -> None:
    driver(THREE)
    assert gpus_here() == (A100, T4, H100)


@pytest.mark.parametrize("memory", ["[N/A]", "[Insufficient Permissions]", "[Unknown Error]"])
def test_a_gpu_whose_memory_is_not_told_is_a_gpu(driver: Driver, memory: str) -> None:
    driver(f"GPU-ffff-6, NVIDIA GB10, {memory}\n")
    assert gpus_here() == (Gpu(name="NVIDIA GB10", memory_bytes=None, uuid="GPU-ffff-6"),)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", (A100,)),
        ("1", (T4,)),
        ("2,1", (H100, T4)),
        ("GPU-cccc-3", (H100,)),
        ("GPU-b,0", (T4, A100)),
        ("1,-1,2", (T4,)),
        ("1,7,2", (T4,)),
        ("GPU-none,1", ()),
        ("-1", ()),
        ("", ()),
    ],
)
def test_gpus_are_those_that_the_variable_names_in_its_order(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str, expected: tuple[Gpu, ...]
) -> None:
    driver(THREE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here() == expected


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, (SLICE, T4, H100)),
        ("MIG-dddd-4", (SLICE,)),
        ("MIG-eeee-5,MIG-dddd-4", (LARGE_SLICE,)),
    ],
)
def test_a_slice_of_a_gpu_has_the_memory_of_its_profile(
    driver: Driver,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    expected: tuple[Gpu, ...],
) -> None:
    driver(THREE, slices=SLICES)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here() == expected


def test_without_a_driver_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver
) -> None:
    driver("NVIDIA-SMI has failed because it could not communicate with the driver.", exit_code=9)
    assert gpus_here() == ()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert gpus_here() == ()


@pytest.mark.parametrize(
    ("said", "exit_code"),
    [
        ("Unable to determine the device handle for GPU 0000:41:00.0: Unknown Error\n", 0),
        ("Unable to determine the device handle for GPU 0000:41:00.0: Unknown Error\n", 15),
        ("NVIDIA GB10, [N/A]\n", 0),
    ],
)
def test_an_answer_that_names_no_gpu_is_an_error_that_says_what_to_do(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, said: str, exit_code: int
) -> None:
    driver(said, exit_code=exit_code)
    with pytest.raises(GpusUnreadable, match="set CUDA_VISIBLE_DEVICES=''") as raised:
        gpus_here()
    assert said.strip() in str(raised.value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus_here() == ()
