"""Celery workers that are killed, stopped or asleep, as processes of their own."""

import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.faults.conftest import NothingIsLost
from tests.faults.held import SAVED, go_on, on_another_node, reason, send, wait_until_held
from tests.faults.jobs import SHORT
from tests.worker.attempts import reported_steps, starts
from tests.worker.processes import WorkerProcess, ranks, trainers, wait_until
from worker.attempt.workdir import Workdir
from worker.reaper import reap

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(
        data_dir=tmp_path / "node",
        database_url=f"sqlite:///{tmp_path}/relora.db",
        storage_url=f"file://{tmp_path}/storage",
        broker_url=valkey_url,
        lease_seconds=6,
    )


@pytest.fixture
def worker(backends: Backends, job_id: str, tmp_path: Path) -> Iterator[WorkerProcess]:
    """Return a worker that has the job. The trainer has stopped itself."""
    dispatch(backends.outbox, backends.queue)
    app, data_dir = "tests.faults.held_worker", backends.settings.data_dir
    worker = WorkerProcess(backends.settings, tmp_path / "worker.log", app=app)
    try:
        wait_until_held(backends, job_id, lambda: ranks(data_dir))
        yield worker
    finally:
        worker.kill()
        send(signal.SIGKILL, trainers(data_dir))


def stop(backends: Backends, worker: WorkerProcess, trainer: Sequence[int] = ()) -> None:
    """Stop the worker, and its trainer, at a moment when the worker does not lock the database."""
    send(signal.SIGSTOP, [*trainer, worker.pid])
    while _is_locked(backends.settings):
        send(signal.SIGCONT, [worker.pid])
        time.sleep(0.05)
        send(signal.SIGSTOP, [worker.pid])


def _is_locked(settings: Settings) -> bool:
    file = settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, timeout=0.2)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def lose(backends: Backends, job_id: str) -> None:
    """Wait until the lease of the first attempt has expired."""
    wait_until(lambda: backends.attempts.expire_leases() == [job_id])
    assert reason(backends, job_id)[:2] == (1, "worker_lost")


def test_what_a_killed_worker_had_not_stored_is_stored_by_the_attempt_that_goes_on(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost, worker: WorkerProcess
) -> None:
    node = backends.settings.data_dir
    stop(backends, worker)
    send(signal.SIGCONT, ranks(node))
    events = Workdir.of(backends.settings.scratch_dir, job_id, 1).events
    wait_until(lambda: '"train.finished"' in events.read_text())
    worker.kill()
    wait_until(lambda: trainers(node) == [], seconds=10)
    lose(backends, job_id)

    before = reported_steps(backends, job_id)
    go_on(backends, job_id)
    assert max(before) == SAVED
    assert starts(backends, job_id) == [None, SHORT]
    told = backends.store.events(job_id, types={"train.step"}, limit=1000)
    assert {event.attempt for event in told} == {1}
    assert len(backends.store.events(job_id, types={"train.finished"})) == 1
    files = {file.path for file in backends.store.artifacts(job_id)}
    assert {"logs/attempt-1.log", "logs/attempt-2.log"} <= files
    nothing_is_lost(job_id)


@pytest.mark.parametrize("with_its_trainer", [False, True], ids=["alone", "with its trainer"])
def test_a_worker_that_was_stopped_for_two_leases_writes_nothing_beside_the_one_that_took_over(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    worker: WorkerProcess,
    tmp_path: Path,
    *,
    with_its_trainer: bool,
) -> None:
    node, seconds = backends.settings.data_dir, backends.settings.lease_seconds
    wakes_at = time.monotonic() + 2 * seconds
    asleep = trainers(node) if with_its_trainer else []
    stop(backends, worker, asleep)
    wait_until(
        lambda: trainers(node) == asleep, seconds=seconds + 30
    )  # the watchdog ends a trainer
    lose(backends, job_id)
    go_on(on_another_node(backends, tmp_path / "another"), job_id)
    time.sleep(max(0, wakes_at - time.monotonic()))
    before = backends.store.events(job_id, limit=1000)
    send(signal.SIGCONT, [worker.pid, *asleep])
    wait_until(lambda: "no longer holds job" in worker.log)
    wait_until(lambda: trainers(node) == [], seconds=10)

    assert backends.store.events(job_id, limit=1000) == before
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_host_that_slept_for_two_leases_goes_on_from_the_newest_checkpoint(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost, worker: WorkerProcess
) -> None:
    asleep = trainers(backends.settings.data_dir)
    stop(backends, worker, asleep)  # and nothing reaps: all of the host sleeps
    time.sleep(2 * backends.settings.lease_seconds)
    send(signal.SIGCONT, [worker.pid, *asleep])
    wait_until(lambda: not set(asleep) & set(trainers(backends.settings.data_dir)), seconds=10)
    wait_until(
        lambda: backends.store.get(job_id).status is JobStatus.SUCCEEDED,
        meanwhile=lambda: reap(backends),
    )
    first, second = starts(backends, job_id)
    assert first is None
    assert second is not None
    assert second >= SAVED  # its trainer may have taken some steps before its watchdog saw the time
    nothing_is_lost(job_id)
