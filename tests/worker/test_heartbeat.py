"""A worker says that it lives, also after the store was away."""

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from jobs.backends import Backends
from jobs.workers import Gpu, Registration
from tests.worker.processes import wait_until
from worker.heartbeat import Heartbeat, gpus_here, registration


def names(backends: Backends) -> list[str]:
    return [worker.name for worker in backends.workers.list(project="default")]


def test_a_worker_is_in_the_list_until_it_stops(backends: Backends) -> None:
    heartbeat = Heartbeat(backends.workers, registration(), lambda: None, every_seconds=0.01)
    heartbeat.start()
    wait_until(lambda: names(backends) == [registration().name])
    heartbeat.stop()
    assert names(backends) == []


def test_an_outage_of_the_store_is_waited_out(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, failures = backends.workers.beat, iter([OperationalError("x", {}, OSError("away"))])

    def failing(worker: Registration, *, problem: str | None) -> None:
        if error := next(failures, None):
            raise error
        beat(worker, problem=problem)

    monkeypatch.setattr(backends.workers, "beat", failing)
    heartbeat = Heartbeat(backends.workers, registration(), lambda: None, every_seconds=0.01)
    heartbeat.start()
    wait_until(lambda: len(names(backends)) == 1)
    heartbeat.stop()


def test_gpus_are_those_that_the_driver_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, SXM, 81559'\necho 'NVIDIA L4, 23034'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus_here() == (
        Gpu(name="NVIDIA H100, SXM", memory_bytes=81559 << 20),
        Gpu(name="NVIDIA L4", memory_bytes=23034 << 20),
    )


def test_without_a_driver_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_here() == ()
