"""A worker reports that it is alive, also after an outage of the store."""

import pytest
from sqlalchemy.exc import OperationalError

from jobs.backends import Backends
from jobs.liveness import show_life
from jobs.schemas.workers import Gpu, Registration
from relora_core.gpu_sensors import GpuReadings
from tests.worker.processes import wait_until
from worker.node.heartbeat import Heartbeat, registration


def names(backends: Backends) -> list[str]:
    return [worker.name for worker in backends.workers.list(project="default")]


def test_a_worker_is_in_the_list_until_it_stops(backends: Backends) -> None:
    me = registration()
    heartbeat = Heartbeat(backends.workers, me, lambda: None, every_seconds=0.01)
    heartbeat.start()
    wait_until(lambda: names(backends) == [me.name])
    heartbeat.stop()
    assert names(backends) == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OperationalError("x", {}, OSError("away")), id="the store is away"),
        pytest.param(ValueError("nobody thought of this"), id="anything"),
    ],
)
def test_no_error_ends_the_heartbeat(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    beat, failures = backends.workers.beat, iter([error])

    def failing(worker: Registration, *, problem: str | None) -> None:
        if error := next(failures, None):
            raise error
        beat(worker, problem=problem)

    monkeypatch.setattr(backends.workers, "beat", failing)
    heartbeat = Heartbeat(backends.workers, registration(), lambda: None, every_seconds=0.01)
    heartbeat.start()
    wait_until(lambda: len(names(backends)) == 1)
    heartbeat.stop()


@pytest.mark.integration
def test_a_worker_that_is_started_again_is_another_one() -> None:
    first, second = registration(), registration()
    assert first.host == second.host
    assert first.name != second.name


def test_two_workers_of_one_host_and_process_id_are_both_listed(backends: Backends) -> None:
    gpu = Gpu(name="NVIDIA L4", memory_bytes=None)
    big, small = (registration().model_copy(update={"gpus": (gpu,) * n}) for n in (8, 1))
    for worker in (big, small):
        backends.workers.beat(worker)
    assert set(names(backends)) == {big.name, small.name}
    backends.workers.leave(small.name)
    (left,) = backends.workers.list(project="default")
    assert (left.name, len(left.gpus)) == (big.name, 8)


def test_a_heartbeat_tells_what_is_wrong_with_the_node(backends: Backends) -> None:
    Heartbeat(backends.workers, registration(), lambda: "the disk is full").beat()
    (worker,) = backends.workers.list(project="default")
    assert worker.problem == "the disk is full"


def test_each_heartbeat_tells_what_the_sensors_of_a_gpu_read(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([GpuReadings(utilization=0.5), GpuReadings(utilization=0.9, power_watts=650.0)])
    monkeypatch.setattr("worker.node.gpus.read_gpu", lambda _: next(readings))
    gpu = Gpu(name="NVIDIA L4", memory_bytes=24 << 30, uuid="GPU-aaaa-1")
    me = registration().model_copy(update={"gpus": (gpu,)})
    heartbeat = Heartbeat(backends.workers, me, lambda: None)
    for expected in ((0.5, None), (0.9, 650.0)):
        heartbeat.beat()
        (worker,) = backends.workers.list(project="default")
        (told,) = worker.gpus
        assert (told.utilization, told.power_watts) == expected
        assert (told.name, told.memory_bytes) == (gpu.name, gpu.memory_bytes)


def test_a_gpu_without_an_id_has_no_readings(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.node.gpus.read_gpu", pytest.fail)
    gpu = Gpu(name="NVIDIA L4", memory_bytes=None)
    me = registration().model_copy(update={"gpus": (gpu,)})
    Heartbeat(backends.workers, me, lambda: None).beat()
    (worker,) = backends.workers.list(project="default")
    assert worker.gpus == (gpu,)


def test_a_worker_shows_life_also_while_the_store_is_away(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("x", {}, OSError("away"))

    monkeypatch.setattr(backends.workers, "beat", away)
    alive = backends.settings.alive_file("worker")
    heartbeat = Heartbeat(
        backends.workers,
        registration(),
        lambda: None,
        after_beat=lambda: show_life(backends.settings, "worker"),
        every_seconds=60,
    )
    heartbeat.start()
    wait_until(alive.exists)
    heartbeat.stop()
