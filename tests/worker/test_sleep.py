"""A host that sleeps longer than a lease, with all its processes."""

import hashlib
import os
import signal
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.events import JobStarted
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.worker.attempts import saved_steps, starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import WorkerProcess, scripted_worker, trainers, wait_until
from tests.worker.scripted_trainer import weights
from worker.reaper import reap

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEPS = 200


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url, lease_seconds=4)


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


@pytest.fixture
def job(backends: Backends, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", "0.03")
    job = backends.store.create(make_spec(steps=STEPS, checkpoint_every=10))
    dispatch(backends.outbox, backends.queue)
    return job


def fall_asleep(backends: Backends, job: Job, worker: WorkerProcess) -> list[int]:
    """Stop the worker and its trainer after a checkpoint. Return the pids of the trainer."""
    wait_until(lambda: bool(saved_steps(backends, job.id)))
    asleep = trainers(backends.settings.data_dir)
    send(signal.SIGSTOP, [*asleep, worker.pid])
    while _is_locked(backends.settings):  # by the worker: everybody else would wait for it
        send(signal.SIGCONT, [worker.pid])
        time.sleep(0.05)
        send(signal.SIGSTOP, [worker.pid])
    return asleep


def _is_locked(settings: Settings) -> bool:
    file = settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=0.2)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def check_nothing_is_lost_or_written_twice(backends: Backends, job: Job) -> None:
    (curve,) = backends.metrics.get(job.id, names=["loss"]).curves
    assert curve.steps == list(range(10, STEPS + 1, 10))
    events = backends.store.events(job.id, limit=10_000)
    (second,) = (e for e in events if isinstance(e, JobStarted) and e.attempt == 2)
    assert {event.attempt for event in events[events.index(second) :]} == {2}
    storage = backends.storage_for(job)
    listed = backends.store.artifacts(job.id)
    for file in listed:
        assert hashlib.sha256(b"".join(storage.read(file.key))).hexdigest() == file.sha256
    assert sorted(file.key for file in storage.list("")) == sorted(file.key for file in listed)
    (model,) = (file for file in listed if file.kind == "final")
    content = b"".join(storage.read(model.key)).decode()
    assert content == weights(job.spec.train.training.seed, STEPS)


def test_a_worker_that_slept_for_two_leases_writes_nothing_beside_the_one_that_took_over(
    backends: Backends, job: Job, tmp_path: Path
) -> None:
    two_leases = 2 * backends.settings.lease_seconds
    with ExitStack() as workers:
        first = workers.enter_context(scripted_worker(backends.settings, tmp_path / "first.log"))
        asleep = fall_asleep(backends, job, first)
        began = time.monotonic()
        workers.enter_context(scripted_worker(backends.settings, tmp_path / "second.log"))
        wait_until(lambda: len(starts(backends, job.id)) == 2, meanwhile=lambda: reap(backends))
        time.sleep(max(0, began + two_leases - time.monotonic()))
        send(signal.SIGCONT, [first.pid, *asleep])
        wait_until(lambda: not set(asleep) & set(trainers(backends.settings.data_dir)), seconds=5)
        wait_until(lambda: backends.store.get(job.id).status is JobStatus.SUCCEEDED)
        wait_until(lambda: "no longer holds job" in first.log)
    check_nothing_is_lost_or_written_twice(backends, job)


def test_a_host_that_slept_for_two_leases_goes_on_from_the_newest_checkpoint(
    backends: Backends, job: Job, tmp_path: Path
) -> None:
    with scripted_worker(backends.settings, tmp_path / "worker.log") as worker:
        asleep = fall_asleep(backends, job, worker)  # and nothing reaps: all of the host sleeps
        time.sleep(2 * backends.settings.lease_seconds)
        send(signal.SIGCONT, [worker.pid, *asleep])
        wait_until(lambda: not set(asleep) & set(trainers(backends.settings.data_dir)), seconds=5)
        wait_until(
            lambda: backends.store.get(job.id).status is JobStatus.SUCCEEDED,
            meanwhile=lambda: reap(backends),
        )
    first, second = starts(backends, job.id)
    assert first is None
    assert second in saved_steps(backends, job.id)
    check_nothing_is_lost_or_written_twice(backends, job)
