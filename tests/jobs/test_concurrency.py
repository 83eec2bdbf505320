"""Many processes on one database: each job is claimed once, and no event is lost."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat

import pytest

from jobs.admin.migrate import migrate
from jobs.database.engine import open_engine
from jobs.errors import LeaseLost
from jobs.schemas.job import JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from relora_core.events import Warned
from tests.jobs.conftest import NUM_PROCESSES

pytestmark = pytest.mark.integration


@contextmanager
def opened(database_url: str) -> Iterator[tuple[JobStore, AttemptStore]]:
    engine = open_engine(database_url)
    yield JobStore(engine), AttemptStore(engine)
    engine.dispose()


def claim_all(database_url: str, worker: str) -> list[str]:
    """Run every queued job that this worker gets; return their ids."""
    with opened(database_url) as (store, attempts):
        mine = []
        for job in store.list():
            claimed = attempts.claim(job.id, worker=worker, lease_seconds=60)
            if claimed is None:
                continue
            attempts.started(job.id, claimed.attempt, resumed_from=None)
            for line in range(1, 6):
                event = Warned(code="line", message=str(line))
                attempts.append(job.id, claimed.attempt, [(line, event)])
            attempts.finish(job.id, claimed.attempt, JobStatus.SUCCEEDED)
            mine.append(job.id)
        return mine


def append_and_warn(database_url: str, job_id: str, process: int) -> None:
    with opened(database_url) as (store, attempts):
        for number in range(25):
            attempts.warn(job_id, 1, "from", f"{process}-{number}")
            attempts.append(job_id, 1, [(number, Warned(code="line", message=str(number)))])
            store.events(job_id, after=number)


def expire(database_url: str) -> int:
    with opened(database_url) as (_, attempts):
        return len(attempts.expire_leases())


def test_many_threads_share_a_store(store: JobStore, spec: JobSpec) -> None:
    with ThreadPoolExecutor(20) as threads:
        jobs = list(threads.map(store.create, [spec] * 40))
        cancelled = list(
            threads.map(
                store.request_action, [job.id for job in jobs], [RequestedAction.CANCEL] * 40
            )
        )
    assert {job.status for job in cancelled} == {JobStatus.CANCELLED}
    assert sorted(job.id for job in store.list()) == sorted(job.id for job in jobs)


@pytest.mark.slow
def test_a_job_is_claimed_by_one_of_many(
    processes: ProcessPoolExecutor, store: JobStore, spec: JobSpec, database_url: str
) -> None:
    ids = [store.create(spec).id for _ in range(20)]
    shares = list(processes.map(claim_all, [database_url] * NUM_PROCESSES, ["a", "b", "c", "d"]))
    assert sorted(job_id for share in shares for job_id in share) == ids
    for job_id in ids:
        assert [event.id for event in store.events(job_id)] == list(range(1, 10))


def test_events_of_many_writers_have_no_gaps_and_no_doubles(
    processes: ProcessPoolExecutor,
    store: JobStore,
    attempts: AttemptStore,
    spec: JobSpec,
    database_url: str,
) -> None:
    job = store.create(spec)
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    numbers = range(NUM_PROCESSES)
    list(processes.map(append_and_warn, repeat(database_url), repeat(job.id), numbers))
    events = store.events(job.id)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert len(events) == 2 + 25 * NUM_PROCESSES + 25  # each line is stored once


def test_a_lost_job_is_expired_by_one_of_many_sweeps(
    processes: ProcessPoolExecutor,
    store: JobStore,
    attempts: AttemptStore,
    spec: JobSpec,
    database_url: str,
) -> None:
    for _ in range(10):
        attempts.claim(store.create(spec).id, worker="w1", lease_seconds=-1)
    counts = list(processes.map(expire, [database_url] * NUM_PROCESSES))
    assert sum(counts) == 10
    for job in store.list():
        with pytest.raises(LeaseLost):
            attempts.renew(job.id, 1, lease_seconds=60)


def test_several_processes_may_migrate_at_once(
    processes: ProcessPoolExecutor, empty_database_url: str, spec: JobSpec
) -> None:
    list(processes.map(migrate, [empty_database_url] * NUM_PROCESSES))
    with opened(empty_database_url) as (store, _):
        assert store.create(spec).status is JobStatus.QUEUED
