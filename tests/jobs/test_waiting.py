"""The queue: who is next, and how many wait, on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from jobs.attempts import AttemptStore
from jobs.models import Job, JobChanges, JobSpec
from jobs.projects import NewProject, ProjectStore
from jobs.quotas import Quotas
from jobs.status import JobStatus, Wish
from jobs.store import JobStore
from jobs.waiting import WaitingJobs


@pytest.fixture
def waiting(engine: Engine) -> WaitingJobs:
    return WaitingJobs(engine)


def claimed(attempts: AttemptStore) -> str | None:
    job = attempts.claim_next(worker="w1", lease_seconds=60)
    return None if job is None else job.id


def test_workers_take_the_highest_priority_and_of_equals_the_oldest(
    store: JobStore, attempts: AttemptStore, spec: JobSpec
) -> None:
    ids = [store.create(spec).id for _ in range(4)]
    store.change(ids[2], JobChanges(priority=5))
    store.change(ids[0], JobChanges(priority=-5))
    assert [claimed(attempts) for _ in range(5)] == [ids[2], ids[1], ids[3], ids[0], None]


def test_a_job_whose_project_has_no_room_is_passed_over_and_held_back(
    store: JobStore, attempts: AttemptStore, projects: ProjectStore, spec: JobSpec
) -> None:
    projects.create(NewProject(name="full", quotas=Quotas(running_jobs=1)))
    urgent = spec.model_copy(update={"priority": 9})
    first, second = (store.create(urgent, project="full").id for _ in range(2))
    other = store.create(spec).id
    assert [claimed(attempts) for _ in range(3)] == [first, other, None]
    warning = store.events(second)[-1]
    assert warning.type == "job.warning"
    attempts.finish(first, 1, JobStatus.CANCELLED)
    assert claimed(attempts) == second


def test_of_many_workers_each_gets_another_job(
    store: JobStore, attempts: AttemptStore, spec: JobSpec
) -> None:
    ids = sorted(store.create(spec).id for _ in range(10))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: claimed(attempts), range(12)))
    assert sorted(one for one in got if one) == ids


def test_the_queue_is_read_in_pages_with_places_among_all_projects(
    store: JobStore, projects: ProjectStore, waiting: WaitingJobs, spec: JobSpec
) -> None:
    projects.create(NewProject(name="other"))
    ids = [store.create(spec).id for _ in range(3)]
    store.create(spec.model_copy(update={"priority": 1}), project="other")
    store.change(ids[2], JobChanges(priority=2))
    first = waiting.list(project="default", limit=2)
    second = waiting.list(project="default", limit=2, cursor=first[-1].cursor)
    assert [(one.job_id, one.position) for one in first + second] == [
        (ids[2], 1),
        (ids[0], 3),
        (ids[1], 4),
    ]
    assert (first[0].name, first[0].priority, first[0].held_back) == ("tiny", 2, False)


def test_jobs_are_counted_by_status(
    store: JobStore, waiting: WaitingJobs, running: Job, spec: JobSpec
) -> None:
    store.wish(store.create(spec).id, Wish.CANCEL)
    counts = waiting.counts(project="default")
    assert counts.keys() == set(JobStatus)
    assert {status for status, count in counts.items() if count} == {
        running.status,
        JobStatus.CANCELLED,
    }
