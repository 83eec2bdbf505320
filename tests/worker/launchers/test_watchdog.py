"""Trainers whose worker is stopped alone, so that it can neither renew its lease nor end them."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.worker.conftest import MakeSpec
from tests.worker.launchers.test_process import is_alive
from tests.worker.processes import scripted_worker, trainers, wait_until
from tests.worker.scripted_trainer import in_place_of_torchrun
from tests.worker.test_run import attempt, saved_steps
from worker.attempt import clock
from worker.launchers.process import TiedProcess

pytestmark = pytest.mark.integration

RANK = "import os, time; print('rank', os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url, lease_seconds=3)


def test_the_trainer_of_a_stopped_worker_ends_with_its_lease(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    settings = backends.settings
    job = backends.store.create(make_spec(steps=100_000, checkpoint_every=10))
    dispatch(backends.outbox, backends.queue)
    with scripted_worker(settings, tmp_path / "worker.log") as worker:
        wait_until(lambda: bool(saved_steps(backends, job.id)))
        assert len(trainers(settings.data_dir)) == 1
        os.kill(worker.pid, signal.SIGSTOP)
        wait_until(lambda: trainers(settings.data_dir) == [], seconds=settings.lease_seconds + 1)
        os.kill(worker.pid, signal.SIGCONT)
        wait_until(lambda: "no longer holds job" in worker.log)


def test_a_trainer_outlives_any_number_of_leases_that_its_worker_renews(
    backends: Backends, make_spec: MakeSpec
) -> None:
    short = backends.settings.model_copy(update={"lease_seconds": 1.0})
    job = backends.store.create(make_spec(steps=300))
    with in_place_of_torchrun(step_seconds=0.01):
        job = attempt(replace(backends, settings=short), job.id)

    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)


def test_all_ranks_end_with_the_lease(tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    log = tmp_path / "trainer.log"
    trainer = TiedProcess(
        [
            *(sys.executable, "-m", "worker.launchers.ranks", "--standalone"),
            *("--nproc-per-node", "2", str(tmp_path / "rank.py")),
        ],
        environ=os.environ,
        cwd=tmp_path / "empty",
        log=log,
    )
    trainer.live_until(clock.now() + 60)
    wait_until(lambda: log.read_text().count("rank") == 2)
    ranks = [int(pid) for pid in log.read_text().split()[1::2]]

    trainer.live_until(clock.now() + 0.5)
    time.sleep(0.3)
    assert [is_alive(pid) for pid in (trainer.pid, *ranks)] == [True, True, True]
    wait_until(lambda: not any(map(is_alive, (trainer.pid, *ranks))), seconds=2)
    assert trainer.exit_code() == -signal.SIGKILL
    trainer.kill()


def test_a_trainer_that_was_never_told_of_a_lease_ends_soon(tmp_path: Path) -> None:
    program = (
        "from worker.launchers import watchdog; watchdog.FIRST_SECONDS = 0.2; "
        "watchdog.start_watchdog()"
    )
    trainer = TiedProcess(
        [sys.executable, "-c", f"{program}; {RANK}"],
        environ=os.environ,
        cwd=tmp_path / "empty",
        log=tmp_path / "trainer.log",
    )
    wait_until(lambda: trainer.exit_code() == -signal.SIGKILL, seconds=10)
    trainer.kill()
