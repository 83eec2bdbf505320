"""A node that becomes unhealthy in the middle of an attempt, which costs the job none."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus
from tests.faults.conftest import NothingIsLost
from tests.faults.held import SAVED, go_on, held_attempt, on_another_node, reason
from tests.fixtures.disks import MakeDisk, fill, read_only
from tests.worker.attempts import starts
from worker.node import health
from worker.node.health import Health

pytestmark = pytest.mark.integration


@contextmanager
def full(disk: Path) -> Iterator[None]:
    fill(disk)
    yield
    (disk / "filler").unlink()


@pytest.mark.parametrize(
    ("break_", "said"),
    [(full, "No space left on device"), (read_only, "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_job_whose_disk_fails_goes_on_from_its_newest_checkpoint_on_another_worker(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    make_disk: MakeDisk,
    break_: Callable[[Path], AbstractContextManager[None]],
    said: str,
) -> None:
    disk = make_disk(size="64m")
    with (
        held_attempt(on_another_node(backends, disk), job_id) as held,
        break_(disk),
    ):
        held.go_on()
        held.wait()
    assert backends.store.get(job_id).status is JobStatus.QUEUED
    failed_attempts, code, message = reason(backends, job_id)
    assert (failed_attempts, code) == (0, "node_unhealthy")
    assert said in message
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_job_that_fails_while_its_node_has_no_memory_loses_no_attempt(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable: 100000 kB\n")
    with monkeypatch.context() as patched, held_attempt(backends, job_id) as held:
        patched.setattr(health, "_MEMINFO", meminfo)
        held.kill()
        held.wait()
    failed_attempts, code, message = reason(backends, job_id)
    assert (failed_attempts, code) == (0, "node_unhealthy")
    assert "of memory are free" in message
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_job_that_fails_while_the_gpu_of_its_node_cannot_be_used_loses_no_attempt(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # torch finds no GPU
    node = Health(backends.settings, num_gpus=1)
    with held_attempt(backends, job_id, health=node) as held:
        held.kill()
        held.wait()
    failed_attempts, code, message = reason(backends, job_id)
    assert (failed_attempts, code) == (0, "node_unhealthy")
    assert "the GPUs cannot be used" in message
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)
