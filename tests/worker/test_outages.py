"""Attempts whose servers hang: the scripted trainer, and a real PostgreSQL behind a proxy."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.fixtures.proxy import Proxy
from tests.worker.attempts import attempt, reported_steps, saved_steps
from tests.worker.conftest import MakeSpec
from tests.worker.processes import trainers, wait_until
from tests.worker.scripted_trainer import ScriptedLauncher

pytestmark = pytest.mark.integration

LEASE_SECONDS = 3.0
SLOW = ScriptedLauncher(step_seconds=0.02)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Proxy]:
    with Proxy.to(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def settings(tmp_path: Path, database: Proxy, postgres_url: str) -> Settings:
    return Settings(
        data_dir=tmp_path / "relora",
        broker_url="redis://127.0.0.1:9/0",
        database_url=database.url(postgres_url),
        lease_seconds=LEASE_SECONDS,
    )


def test_a_trainer_ends_with_its_lease_while_the_database_hangs(
    backends: Backends, database: Proxy, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(steps=100_000, checkpoint_every=10))
    running = Thread(target=attempt, args=(backends, job.id), kwargs={"launcher": SLOW})
    running.start()
    wait_until(lambda: bool(saved_steps(backends, job.id)))
    database.freeze()
    wait_until(lambda: trainers(backends.settings.data_dir) == [], seconds=LEASE_SECONDS + 1)
    assert running.is_alive()  # it still waits for the database
    database.heal()
    running.join(20)

    assert not running.is_alive()
    assert backends.store.get(job.id).status is JobStatus.RUNNING
    wait_until(lambda: backends.attempts.expire_leases() == [job.id])


@pytest.mark.slow
def test_what_was_reported_during_an_outage_is_stored_by_the_attempt_that_goes_on(
    backends: Backends, database: Proxy, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(steps=400, checkpoint_every=10))
    running = Thread(target=attempt, args=(backends, job.id), kwargs={"launcher": SLOW})
    running.start()
    wait_until(lambda: bool(saved_steps(backends, job.id)))
    database.freeze()
    running.join(LEASE_SECONDS + 1)
    database.heal()
    running.join(20)
    wait_until(lambda: backends.attempts.expire_leases() == [job.id])
    attempt(backends, job.id)

    assert backends.store.get(job.id).status is JobStatus.SUCCEEDED
    assert reported_steps(backends, job.id) == list(range(10, 401, 10))
