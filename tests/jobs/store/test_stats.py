"""The service's figures, from both databases."""

import pytest
from sqlalchemy import Engine

from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import JobStatus
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from jobs.store.stats import Uploads, VitalStore
from tests.jobs.conftest import LEASE
from tests.jobs.samples import StepMaker


@pytest.fixture
def vitals(engine: Engine) -> VitalStore:
    return VitalStore(engine)


def test_jobs_are_counted_by_status(
    vitals: VitalStore, store: JobStore, spec: JobSpec, running: Job
) -> None:
    store.create(spec)
    store.create(spec)
    counted = vitals.read()
    assert {status: count for status, count in counted.jobs.items() if count} == {
        JobStatus.QUEUED: 2,
        JobStatus.RUNNING: 1,
    }
    assert counted.jobs.keys() == set(JobStatus)
    assert counted.unsent_messages == 3
    assert [job.id for job in counted.held] == [running.id]


def test_a_held_job_tells_of_its_lease_and_its_progress(
    vitals: VitalStore, attempts: AttemptStore, running: Job, step_finished: StepMaker
) -> None:
    attempts.append(running.id, 1, [(1, step_finished(7))])
    (held,) = vitals.read().held
    assert (held.id, held.project, held.attempt, held.failed_attempts) == (
        running.id,
        "default",
        1,
        0,
    )
    assert LEASE - 30 < held.lease_left <= LEASE
    assert (held.progress["step"], held.progress["loss"]) == (7, 4.0)


def test_a_job_whose_trainer_is_not_at_work_tells_of_no_progress(
    vitals: VitalStore, attempts: AttemptStore, job: Job
) -> None:
    attempts.claim(job.id, worker="w1", lease_seconds=LEASE)
    (held,) = vitals.read().held
    assert held.progress == {}


def test_a_project_sees_its_own_jobs(vitals: VitalStore, running: Job) -> None:
    assert [job.id for job in vitals.read("default").held] == [running.id]
    another = vitals.read("another")
    assert (another.held, sum(another.jobs.values())) == ((), 0)


def test_uploads_add_up_by_kind(vitals: VitalStore) -> None:
    assert vitals.read().uploads == {}
    vitals.add_upload("checkpoint", num_bytes=100, seconds=1.5)
    vitals.add_upload("checkpoint", num_bytes=50, seconds=0.5)
    vitals.add_upload("final", num_bytes=7, seconds=0.25)
    assert vitals.read().uploads == {
        "checkpoint": Uploads(2, 150, 2.0),
        "final": Uploads(1, 7, 0.25),
    }
