"""Trainers that run on while their worker is stopped and can neither renew nor kill."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.fixtures.process_state import has_ended
from tests.worker.attempts import attempt
from tests.worker.conftest import MakeSpec
from tests.worker.processes import wait_until
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.attempt import clock
from worker.launchers import watchdog
from worker.launchers.process import TiedProcess

pytestmark = pytest.mark.integration

RANK = "import os, time; print('rank', os.getpid(), flush=True); time.sleep(60)"


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url, lease_seconds=3)


def test_a_trainer_outlives_any_number_of_leases_that_its_worker_renews(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(steps=300))
    three_leases = ScriptedLauncher(step_seconds=0.03)
    job = attempt(backends, job.id, launcher=three_leases)

    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.parametrize("num_processes", [1, 2])
def test_all_ranks_end_with_the_lease(tmp_path: Path, num_processes: int) -> None:
    program = tmp_path / "rank.py"
    program.write_text(RANK)
    log = tmp_path / "trainer.log"
    trainer = TiedProcess(
        [sys.executable, "-m", "worker.launchers.ranks", str(num_processes), str(program)],
        environ=os.environ,
        cwd=tmp_path / "empty",
        log=log,
    )
    trainer.live_until(clock.now() + 60)
    wait_until(lambda: log.read_text().count("\n") == num_processes)
    processes = [trainer.pid, *(int(pid) for pid in log.read_text().split()[1::2])]

    assert not any(map(has_ended, processes))
    trainer.live_until(clock.now() + 0.5)
    wait_until(lambda: all(map(has_ended, processes)), seconds=30)
    # A killed process has no exit code until the last of its threads is gone.
    wait_until(lambda: trainer.exit_code() == -signal.SIGKILL, seconds=30)
    trainer.kill()


def watched(folder: Path, *, first_seconds: float, before: str = "pass") -> TiedProcess:
    """Start a process with a watchdog, and return it.

    The watchdog waits `first_seconds` for the first line. The code `before` runs before it starts.
    """
    program = (
        f"{before}; from worker.launchers import watchdog; "
        f"watchdog.FIRST_SECONDS = {first_seconds}; watchdog.start_watchdog()"
    )
    return TiedProcess(
        [sys.executable, "-c", f"{program}; {RANK}"],
        environ=os.environ,
        cwd=folder / "empty",
        log=folder / "trainer.log",
    )


def test_a_trainer_that_was_never_told_of_a_lease_ends_soon(tmp_path: Path) -> None:
    trainer = watched(tmp_path, first_seconds=0.2)
    wait_until(lambda: trainer.exit_code() == -signal.SIGKILL, seconds=60)
    trainer.kill()


def test_a_trainer_that_comes_late_to_its_lease_sees_that_it_was_renewed(tmp_path: Path) -> None:
    renewed = "import select; select.select([0], [], [])"
    trainer = watched(tmp_path, first_seconds=0, before=renewed)
    trainer.live_until(clock.now() + 60)
    wait_until(
        lambda: "rank" in (tmp_path / "trainer.log").read_text() or trainer.exit_code() is not None
    )
    time.sleep(2 * watchdog.LOOK_SECONDS)
    assert trainer.exit_code() is None
    trainer.kill()
