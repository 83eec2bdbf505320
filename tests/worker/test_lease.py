import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import create_engine

from jobs.backends import Backends
from jobs.errors import LeaseLost
from jobs.models import JobError
from jobs.status import Wish
from tests.worker.conftest import MakeSpec
from tests.worker.processes import wait_until
from worker.lease import Lease


@pytest.fixture
def lease(backends: Backends, make_spec: MakeSpec) -> Lease:
    """Of one second, not entered yet."""
    claimed_at = time.monotonic()
    job_id = backends.store.create(make_spec()).id
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=1)
    assert job is not None
    return Lease(backends.attempts, job, seconds=1, claimed_at=claimed_at)


@contextmanager
def outage(database_url: str) -> Iterator[None]:
    """No one else can write to the database meanwhile."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        yield
        connection.rollback()
    engine.dispose()


def test_it_is_renewed_while_it_is_held(backends: Backends, lease: Lease) -> None:
    with lease:
        time.sleep(1.3)
        lease.check()
    assert backends.attempts.expire_leases() == []


def test_it_brings_the_wish_of_a_person(backends: Backends, lease: Lease) -> None:
    with lease:
        backends.store.wish(lease.job_id, Wish.CANCEL)
        wait_until(lambda: lease.wish is Wish.CANCEL)


def test_it_is_lost_when_the_job_is_no_longer_ours(backends: Backends, lease: Lease) -> None:
    error = JobError(code="worker_lost", message="no sign of life")
    with lease:
        backends.attempts.retry(lease.job_id, lease.attempt, error)
        time.sleep(0.5)
        with pytest.raises(LeaseLost):
            lease.check()


def test_an_outage_shorter_than_it_goes_unnoticed(backends: Backends, lease: Lease) -> None:
    with lease:
        with outage(backends.settings.database_url):
            time.sleep(0.5)
        lease.check()
        time.sleep(0.8)
        lease.check()


def test_an_outage_longer_than_it_ends_it(backends: Backends, lease: Lease) -> None:
    with lease, outage(backends.settings.database_url):
        time.sleep(1.1)
        with pytest.raises(LeaseLost):
            lease.check()
