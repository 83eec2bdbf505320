import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine

from jobs.backends import Backends
from jobs.errors import LeaseLost
from jobs.schemas.status import JobError, RequestedAction
from jobs.store.attempts import Requests
from tests.worker.conftest import MakeSpec
from tests.worker.processes import wait_until
from worker.attempt import clock
from worker.attempt import lease as lease_module
from worker.attempt.lease import Lease


@pytest.fixture
def lease(backends: Backends, make_spec: MakeSpec) -> Lease:
    """Return a lease of one second that is not entered yet."""
    return claimed(backends, make_spec, seconds=1)


@pytest.fixture
def long_lease(backends: Backends, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> Lease:
    """Return a lease that is not entered yet.

    It is renewed so long before its end that a busy machine is in time.
    """
    monkeypatch.setattr(lease_module, "LONGEST_PAUSE", 0.1)
    return claimed(backends, make_spec, seconds=30)


def claimed(backends: Backends, make_spec: MakeSpec, seconds: float) -> Lease:
    claimed_at = clock.now()
    job_id = backends.store.create(make_spec()).id
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=seconds)
    assert job is not None
    return Lease(backends.attempts, job, seconds=seconds, claimed_at=claimed_at)


class HeldThing:
    """A stand-in for a process that must not outlive the lease."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.killed = threading.Event()

    def live_until(self, end: float) -> None:
        self.ends.append(end)

    def kill(self, grace_seconds: float) -> None:
        assert grace_seconds == 0
        self.killed.set()


@contextmanager
def outage(database_url: str) -> Iterator[None]:
    """Lock the database, so that no one else can write to it during the block."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        yield
        connection.rollback()
    engine.dispose()


def test_it_is_renewed_while_it_is_held(backends: Backends, make_spec: MakeSpec) -> None:
    with claimed(backends, make_spec, seconds=4) as lease:
        time.sleep(4.3)
        lease.check()
    assert backends.attempts.expire_leases() == []


def test_what_it_holds_is_told_of_each_renewal(long_lease: Lease) -> None:
    held = HeldThing()
    with long_lease:
        long_lease.kill_on_expiry(held)
        wait_until(lambda: len(held.ends) > 3)
        first, *renewed, last = held.ends
    assert first < last
    assert renewed == sorted(renewed)
    assert not held.killed.is_set()


def test_it_brings_what_a_person_requested(backends: Backends, long_lease: Lease) -> None:
    with long_lease:
        backends.store.request_action(long_lease.job_id, RequestedAction.CANCEL)
        wait_until(lambda: long_lease.requested_action is RequestedAction.CANCEL)
        profile = backends.store.request_profile(long_lease.job_id, 5)
        wait_until(lambda: long_lease.requested_profile == profile)


def test_it_is_lost_when_the_job_is_no_longer_ours(backends: Backends, long_lease: Lease) -> None:
    error = JobError(code="worker_lost", message="no sign of life")
    with long_lease:
        backends.attempts.retry(long_lease.job_id, long_lease.attempt, error)
        time.sleep(0.5)
        with pytest.raises(LeaseLost):
            long_lease.check()


def test_an_outage_shorter_than_it_goes_unnoticed(backends: Backends, make_spec: MakeSpec) -> None:
    with claimed(backends, make_spec, seconds=4) as lease:
        with outage(backends.settings.database_url):
            time.sleep(2)
        lease.check()
        time.sleep(2.3)
        lease.check()


def test_an_outage_longer_than_it_ends_it(backends: Backends, lease: Lease) -> None:
    with lease, outage(backends.settings.database_url):
        time.sleep(1.1)
        with pytest.raises(LeaseLost):
            lease.check()


def test_an_error_that_nobody_thought_of_is_waited_out_too(
    long_lease: Lease, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, failures = backends.attempts.renew, iter([ValueError("nobody thought of this")])
    held = HeldThing()

    def failing(*arguments: Any, **options: Any) -> Requests:
        if error := next(failures, None):
            raise error
        return renew(*arguments, **options)

    monkeypatch.setattr(backends.attempts, "renew", failing)
    with long_lease:
        long_lease.kill_on_expiry(held)
        wait_until(lambda: len(held.ends) > 1)
        long_lease.check()


def test_a_renewal_that_is_answered_after_its_end_does_not_count(
    lease: Lease, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = backends.attempts.renew

    def renew_late(*arguments: Any, **options: Any) -> Requests:
        action = renew(*arguments, **options)
        time.sleep(1.1)
        return action

    monkeypatch.setattr(backends.attempts, "renew", renew_late)
    with lease:
        time.sleep(1.8)
        with pytest.raises(LeaseLost):
            lease.check()


def test_its_end_is_told_whatever_the_store_waits_for(
    lease: Lease, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, answer = HeldThing(), threading.Event()
    monkeypatch.setattr(backends.attempts, "renew", lambda *_, **__: answer.wait(30))
    with lease:
        lease.kill_on_expiry(held)
        assert held.killed.wait(30)
    answer.set()


def test_who_asks_after_its_end_is_told_at_once(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: time.monotonic() + 1e9)
    held = HeldThing()
    lease.kill_on_expiry(held)
    assert held.killed.is_set()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_it_runs_out_while_the_host_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 1234.5}.get)
    assert clock.now() == 1234.5
