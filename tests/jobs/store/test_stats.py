"""The statistics of the service, from both databases."""

import pytest
from sqlalchemy import Engine, update

from jobs.database.engine import database_now
from jobs.database.tables.jobs import jobs
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.resources import Resources
from jobs.schemas.status import JobStatus
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from jobs.store.stats import StatsStore, UploadTotals
from tests.jobs.conftest import LEASE
from tests.jobs.samples import StepMaker


@pytest.fixture
def stats(engine: Engine) -> StatsStore:
    return StatsStore(engine)


def test_jobs_are_counted_by_status(
    stats: StatsStore, store: JobStore, spec: JobSpec, running: Job
) -> None:
    store.create(spec)
    store.create(spec)
    counted = stats.of_jobs()
    assert {status: count for status, count in counted.jobs.items() if count} == {
        JobStatus.QUEUED: 2,
        JobStatus.RUNNING: 1,
    }
    assert counted.jobs.keys() == set(JobStatus)
    assert stats.of_service().unsent_messages == 3
    assert [job.id for job in counted.leased] == [running.id]


def test_a_held_job_tells_of_its_lease_and_its_progress(
    stats: StatsStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(7))])
    (leased,) = stats.of_jobs().leased
    assert (leased.id, leased.project, leased.attempt, leased.failed_attempts) == (
        running.id,
        "default",
        1,
        0,
    )
    assert LEASE - 30 < leased.lease_left <= LEASE
    assert (leased.progress["step"], leased.progress["loss"]) == (7, 4.0)


def test_a_job_whose_trainer_is_not_at_work_tells_of_no_progress(
    stats: StatsStore, attempts: AttemptStore, job: Job
) -> None:
    attempts.claim(job.id, worker="w1", lease_seconds=LEASE)
    (leased,) = stats.of_jobs().leased
    assert leased.progress == {}


def test_a_project_sees_its_own_jobs(stats: StatsStore, running: Job) -> None:
    assert [job.id for job in stats.of_jobs("default").leased] == [running.id]
    another = stats.of_jobs("another")
    assert (another.leased, sum(another.jobs.values())) == ((), 0)


def test_uploads_add_up_by_kind(stats: StatsStore) -> None:
    assert stats.of_service().uploads == {}
    stats.add_upload("checkpoint", num_bytes=100, seconds=1.5)
    stats.add_upload("checkpoint", num_bytes=50, seconds=0.5)
    stats.add_upload("final", num_bytes=7, seconds=0.25)
    assert stats.of_service().uploads == {
        "checkpoint": UploadTotals(2, 150, 2.0),
        "final": UploadTotals(1, 7, 0.25),
    }


def test_the_gpus_that_queued_jobs_ask_for_are_counted_by_number_and_class(
    stats: StatsStore, store: JobStore, spec: JobSpec
) -> None:
    training = spec.training.model_copy(update={"global_batch_size": 64})
    for resources in (Resources(gpus=8, gpu="h100"), Resources(gpus=8, gpu="h100"), Resources()):
        changes = {"resources": resources, "training": training}
        store.create(spec.model_copy(update=changes))
    assert stats.of_service().queued_gpus == {(8, "h100"): 16, (1, None): 1}


def test_a_job_that_cannot_start_now_asks_for_no_gpu(
    stats: StatsStore, store: JobStore, engine: Engine, spec: JobSpec
) -> None:
    waiting, pausing = (store.create(spec).id for _ in range(2))
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == waiting).values(waiting_for_quota=True))
        later = update(jobs).where(jobs.c.id == pausing)
        connection.execute(later.values(not_before=database_now() + 60))
    assert stats.of_service().queued_gpus == {}
