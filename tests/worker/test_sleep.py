"""A host that sleeps longer than a lease, with all its processes."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.worker.attempts import saved_steps, starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import scripted_worker, trainers, wait_until
from tests.worker.scripted_trainer import weights
from worker.reaper import reap

pytestmark = pytest.mark.integration

STEPS = 200


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url, lease_seconds=4)


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


@pytest.mark.slow
def test_the_attempt_that_slept_ends_itself_and_the_next_one_goes_on(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", "0.03")
    job = backends.store.create(make_spec(steps=STEPS, checkpoint_every=10))
    dispatch(backends.outbox, backends.queue)
    with ExitStack() as workers:
        first = workers.enter_context(scripted_worker(backends.settings, tmp_path / "first.log"))
        wait_until(lambda: bool(saved_steps(backends, job.id)))
        asleep = trainers(backends.settings.data_dir)
        send(signal.SIGSTOP, asleep)
        time.sleep(0.5)  # until its events are stored and the worker holds no lock of SQLite
        send(signal.SIGSTOP, [first.pid])
        workers.enter_context(scripted_worker(backends.settings, tmp_path / "second.log"))
        wait_until(lambda: len(starts(backends, job.id)) == 2, meanwhile=lambda: reap(backends))
        send(signal.SIGCONT, [first.pid, *asleep])
        wait_until(lambda: not set(asleep) & set(trainers(backends.settings.data_dir)), seconds=5)
        wait_until(lambda: backends.store.get(job.id).status is JobStatus.SUCCEEDED)
        wait_until(lambda: "no longer holds job" in first.log)

    (curve,) = backends.metrics.get(job.id, names=["loss"]).curves
    assert curve.steps == list(range(10, STEPS + 1, 10))
    (model,) = (file for file in backends.store.artifacts(job.id) if file.kind == "final")
    content = b"".join(backends.storage_for(job).read(model.key)).decode()
    assert content == weights(job.spec.train.training.seed, STEPS)
