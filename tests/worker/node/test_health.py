"""An unhealthy node is found before it takes a job. The disks are real."""

import errno
import math
from pathlib import Path

import pytest

from jobs.settings import Settings
from tests.fixtures.disks import MakeDisk, fill, read_only
from worker.node import health as module
from worker.node.health import Health, disk_problem, gpu_problem, is_node_error, memory_problem


def test_a_node_with_room_is_healthy(tmp_path: Path) -> None:
    assert Health(Settings(data_dir=tmp_path, min_free_disk_bytes=1)).problem() is None


def test_a_full_disk_is_a_problem_of_the_node(make_disk: MakeDisk) -> None:
    disk = make_disk()
    fill(disk)
    problem = Health(Settings(data_dir=disk)).problem()
    assert problem == f"cannot write into {disk}/scratch: No space left on device"


def test_a_read_only_cache_is_a_problem_of_the_node(make_disk: MakeDisk) -> None:
    disk = make_disk()
    with read_only(disk):
        assert disk_problem(disk / "cache", 0) == (
            f"cannot write into {disk}/cache: Read-only file system"
        )
    assert disk_problem(disk / "cache", 0) is None


def test_a_disk_with_too_little_room_is_a_problem_that_names_the_setting(
    make_disk: MakeDisk,
) -> None:
    disk = make_disk(size="2m")
    assert disk_problem(disk, 1_000_000) is None
    problem = disk_problem(disk, 3_000_000)
    assert problem is not None
    assert problem.startswith(f"{disk} has 2,0")
    assert problem.endswith("bytes free, less than RELORA_MIN_FREE_DISK_BYTES (3,000,000)")


def test_too_little_memory_is_a_problem_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = tmp_path / "meminfo"
    monkeypatch.setattr(module, "_MEMINFO", figures)
    assert memory_problem() is None  # on a system that is not Linux
    figures.write_text("MemTotal:  8000000 kB\nMemAvailable:  300000 kB\nHugePages_Total:  0\n")
    assert memory_problem() is None
    figures.write_text("MemTotal:  8000000 kB\nMemAvailable:  200000 kB\nHugePages_Total:  0\n")
    assert memory_problem() == "204,800,000 bytes of memory are free, less than 268,435,456"


@pytest.mark.integration
def test_gpus_that_torch_does_not_find_are_a_problem_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_problem(2) == ("the GPUs cannot be used: torch finds 0 GPUs, the driver 2")


@pytest.mark.integration
def test_gpus_that_do_not_answer_are_a_problem_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_TRY_SECONDS", 0.2)
    monkeypatch.setattr(module, "_TRY_GPUS", "import time; time.sleep(60)")
    assert gpu_problem(1) == "the GPUs cannot be used: no answer in 0.2 s"


def test_gpus_that_worked_are_not_tried_before_each_job_and_sick_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [None, "fell off the bus", "fell off the bus", None]
    monkeypatch.setattr(module, "gpu_problem", lambda _: answers.pop(0))
    health = Health(Settings(data_dir=tmp_path, min_free_disk_bytes=1), num_gpus=1)
    assert health.problem(gpus_worked_within=math.inf) is None
    assert len(answers) == 4  # a heartbeat does not test the GPUs
    assert [health.problem(), health.problem()] == [None, None]
    assert health.problem(gpus_worked_within=0) == "fell off the bus"
    assert health.problem(gpus_worked_within=math.inf) == "fell off the bus"
    assert [health.problem(), health.problem()] == ["fell off the bus", None]
    assert answers == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOMEM])
def test_an_error_of_the_system_that_no_job_causes_is_the_nodes(number: int) -> None:
    assert is_node_error(OSError(number, "sick"))


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "none"), ValueError("x")])
def test_other_errors_are_the_jobs(error: Exception) -> None:
    assert not is_node_error(error)
