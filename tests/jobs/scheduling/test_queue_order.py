"""The order of the queue, and its counts, on both databases."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.scheduling.queue_order import WaitingJobs
from jobs.schemas.job import Job, JobChanges, JobSpec
from jobs.schemas.projects import NewProject, Quotas
from jobs.schemas.resources import Resources
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore


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


def test_projects_take_turns_however_many_jobs_one_has_and_whatever_their_priority(
    store: JobStore, attempts: AttemptStore, projects: ProjectStore, spec: JobSpec
) -> None:
    for name in ("loud", "quiet"):
        projects.create(NewProject(name=name))
    urgent = spec.model_copy(update={"priority": 100})
    loud = [store.create(urgent, project="loud").id for _ in range(4)]
    quiet = [store.create(spec, project="quiet").id for _ in range(2)]
    assert [claimed(attempts) for _ in range(4)] == [loud[0], quiet[0], loud[1], quiet[1]]
    attempts.finish(quiet[0], 1, JobStatus.CANCELLED)
    late = store.create(spec, project="quiet").id
    assert [claimed(attempts) for _ in range(3)] == [late, loud[2], loud[3]]


def test_a_project_whose_job_has_many_gpus_waits_for_as_many_of_others(
    store: JobStore, attempts: AttemptStore, projects: ProjectStore, spec: JobSpec
) -> None:
    for name in ("big", "small"):
        projects.create(NewProject(name=name))
    training = spec.training.model_copy(update={"global_batch_size": 64})
    wide = spec.model_copy(update={"resources": Resources(gpus=2), "training": training})
    big = [store.create(wide, project="big").id for _ in range(2)]
    small = [store.create(spec, project="small").id for _ in range(3)]
    assert [claimed(attempts) for _ in range(5)] == [big[0], *small[:2], big[1], small[2]]


def test_of_jobs_of_other_projects_with_the_same_turn_the_older_go_before(
    store: JobStore, projects: ProjectStore, spec: JobSpec
) -> None:
    projects.create(NewProject(name="other"))
    ids = [store.create(spec, project=name).id for name in ("other", "default") * 2]
    assert [store.progress(job_id).queue_position for job_id in ids] == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(2))
def test_places_in_the_queue_are_the_order_in_which_workers_take_jobs(
    store: JobStore,
    attempts: AttemptStore,
    projects: ProjectStore,
    waiting: WaitingJobs,
    spec: JobSpec,
    seed: int,
) -> None:
    draw = random.Random(seed)  # noqa: S311 # the same queue each time
    names = ["default", "one", "two", "capped"]
    for name in names[1:]:
        quotas = Quotas(running_jobs=5) if name == "capped" else Quotas()
        projects.create(NewProject(name=name, quotas=quotas))
    training = spec.training.model_copy(update={"global_batch_size": 64})
    for _ in range(30):
        gpus, priority = draw.choice([1, 1, 2, 4]), draw.choice([0, 0, 5, -5])
        changes = {"resources": Resources(gpus=gpus), "priority": priority, "training": training}
        store.create(spec.model_copy(update=changes), project=draw.choice(names))
    for _ in range(5):
        assert claimed(attempts) is not None

    pages = [waiting.list(project=name, limit=100) for name in names]
    places = {one.job_id: one.position for page in pages for one in page}
    assert sorted(places.values()) == list(range(1, 26))
    listed = [job for name in names for job in store.list(project=name)]
    assert {job.id: job.progress.queue_position for job in listed if job.id in places} == places
    assert {job_id: store.progress(job_id).queue_position for job_id in places} == places

    taken = list(iter(lambda: claimed(attempts), None))
    assert taken == sorted(taken, key=places.__getitem__)
    left = places.keys() - taken
    assert {store.project_of(job_id) for job_id in left} <= {"capped"}


def test_workers_that_claim_at_once_take_as_much_from_each_project(
    store: JobStore, attempts: AttemptStore, projects: ProjectStore, spec: JobSpec
) -> None:
    projects.create(NewProject(name="other"))
    for name, number in (("default", 12), ("other", 4)):
        for _ in range(number):
            store.create(spec, project=name)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: claimed(attempts), range(8)))
    assert len(set(got)) == 8
    owners = Counter(store.project_of(job_id) for job_id in got if job_id)
    assert owners == {"default": 4, "other": 4}


def test_a_job_whose_project_has_no_room_is_passed_over_and_waits_for_its_quota(
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
    assert (first[0].name, first[0].priority, first[0].waiting_for_quota) == ("tiny", 2, False)


def test_jobs_are_counted_by_status(
    store: JobStore, waiting: WaitingJobs, running: Job, spec: JobSpec
) -> None:
    store.request_action(store.create(spec).id, RequestedAction.CANCEL)
    counts = waiting.counts(project="default")
    assert counts.keys() == set(JobStatus)
    assert {status for status, count in counts.items() if count} == {
        running.status,
        JobStatus.CANCELLED,
    }
