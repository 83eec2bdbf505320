"""Quotas in both databases: at the submission, at the claim, and under concurrency."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat

import pytest

from jobs.access.projects import ProjectStore
from jobs.database.engine import open_engine
from jobs.errors import ProjectNotFound, QuotaExceeded
from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject, ProjectChanges, Quotas, Usage
from jobs.schemas.resources import Resources
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from tests.jobs.conftest import NUM_PROCESSES
from tests.jobs.samples import artifact, types


@pytest.fixture
def allow(projects: ProjectStore) -> Callable[..., None]:
    """Set quotas of the default project."""

    def change(**quotas: int | None) -> None:
        projects.change("default", ProjectChanges(quotas=Quotas(**quotas)))

    return change


def with_gpus(spec: JobSpec, gpus: int) -> JobSpec:
    return spec.model_copy(update={"resources": Resources(gpus=gpus)})


def claim(attempts: AttemptStore, job: Job) -> Job | None:
    return attempts.claim(job.id, worker="w1", lease_seconds=60)


def send_all(outbox: Outbox) -> list[str]:
    """Send all messages in the outbox; return the ids of their jobs."""
    sent = outbox.unsent()
    for entry in sent:
        outbox.mark_sent(entry.id)
    return [entry.job_id for entry in sent]


def test_usage_counts_what_a_project_has(
    store: JobStore, attempts: AttemptStore, projects: ProjectStore, spec: JobSpec
) -> None:
    projects.create(NewProject(name="speech"))
    store.create(spec)
    held = store.create(with_gpus(spec, 4))
    store.create(spec, project="speech")
    claim(attempts, held)
    attempts.add_artifacts(held.id, 1, [artifact("a", size=2**40), artifact("b", size=5)])
    assert projects.report("default").usage == Usage(
        queued_jobs=1, running_jobs=1, gpus=4, storage_bytes=2**40 + 5
    )
    assert projects.report("speech").usage.queued_jobs == 1


def test_a_full_queue_takes_no_job(
    store: JobStore, projects: ProjectStore, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(queued_jobs=2)
    first = store.create(spec)
    store.create(spec)
    with pytest.raises(QuotaExceeded) as refused:
        store.create(spec)
    error = refused.value
    assert (error.quota, error.used, error.asked, error.limit) == ("queued_jobs", 2, 1, 2)
    assert str(error).startswith(
        "Project 'default' would exceed its quota queued_jobs: limit 2, used 2, 1 more asked for."
    )
    projects.create(NewProject(name="speech"))
    assert store.create(spec, project="speech").status is JobStatus.QUEUED
    store.request_action(first.id, RequestedAction.CANCEL)
    assert store.create(spec).status is JobStatus.QUEUED


def test_a_full_queue_takes_no_paused_job_back(
    store: JobStore, spec: JobSpec, allow: Callable[..., None]
) -> None:
    paused = store.create(spec)
    store.request_action(paused.id, RequestedAction.PAUSE)
    allow(queued_jobs=1)
    other = store.create(spec)
    with pytest.raises(QuotaExceeded):
        store.resume(paused.id)
    assert store.get(paused.id).status is JobStatus.PAUSED
    store.request_action(other.id, RequestedAction.CANCEL)
    assert store.resume(paused.id).status is JobStatus.QUEUED


def test_a_full_storage_takes_no_job(
    store: JobStore, attempts: AttemptStore, running: Job, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(storage_bytes=100)
    attempts.add_artifacts(running.id, 1, [artifact("a", size=60)])
    store.create(spec)
    attempts.add_artifacts(running.id, 1, [artifact("b", size=60)])
    with pytest.raises(QuotaExceeded, match="quota storage_bytes: limit 100, used 120"):
        store.create(spec)


def test_a_job_that_could_never_run_is_refused(
    store: JobStore, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(gpus=4)
    assert store.create(with_gpus(spec, 4)).status is JobStatus.QUEUED
    with pytest.raises(QuotaExceeded, match="quota gpus: limit 4"):
        store.create(with_gpus(spec, 8))


def test_a_job_needs_a_project_that_is_there(store: JobStore, spec: JobSpec) -> None:
    with pytest.raises(ProjectNotFound, match="'speech'"):
        store.create(spec, project="speech")


def test_a_job_over_the_quota_stays_queued_and_says_why(
    store: JobStore, attempts: AttemptStore, running: Job, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(running_jobs=1)
    waiting = store.create(spec)
    assert claim(attempts, waiting) is None
    assert claim(attempts, waiting) is None
    assert store.get(waiting.id).status is JobStatus.QUEUED
    assert store.get(waiting.id).attempt == 0
    assert types(store, waiting.id) == ["job.queued", "job.warning"]  # it warns only once
    attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    claimed = claim(attempts, waiting)
    assert claimed is not None
    assert claimed.attempt == 1


def test_gpus_are_counted_by_job(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(gpus=6)
    submitted = [store.create(with_gpus(spec, gpus)) for gpus in (4, 4, 2)]
    assert [claim(attempts, job) is not None for job in submitted] == [True, False, True]


def test_another_project_runs_meanwhile(
    store: JobStore,
    attempts: AttemptStore,
    projects: ProjectStore,
    running: Job,
    spec: JobSpec,
    allow: Callable[..., None],
) -> None:
    allow(running_jobs=1)
    assert running.status is JobStatus.RUNNING
    projects.create(NewProject(name="speech", quotas=Quotas(running_jobs=1, gpus=1)))
    assert claim(attempts, store.create(spec)) is None
    assert claim(attempts, store.create(spec, project="speech")) is not None


def test_the_bell_rings_for_as_many_as_there_is_room_for(
    store: JobStore,
    attempts: AttemptStore,
    outbox: Outbox,
    running: Job,
    spec: JobSpec,
    allow: Callable[..., None],
) -> None:
    allow(running_jobs=1)
    urgent = spec.model_copy(update={"priority": 1})
    waiting = [store.create(spec), store.create(urgent), store.create(spec)]
    send_all(outbox)
    assert [claim(attempts, job) for job in waiting] == [None, None, None]
    assert outbox.notify_where_there_is_room() == 0
    assert outbox.resend(older_than_seconds=-1) == 0  # none of their messages was lost
    attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    assert outbox.notify_where_there_is_room() == 1
    assert outbox.notify_where_there_is_room() == 0  # the free place is taken by the message
    assert send_all(outbox) == [waiting[1].id]
    assert claim(attempts, waiting[1]) is not None
    allow(running_jobs=None)
    assert outbox.notify_where_there_is_room() == 2


def test_the_bell_rings_in_order_and_passes_by_what_can_never_run(
    store: JobStore,
    attempts: AttemptStore,
    outbox: Outbox,
    running: Job,
    spec: JobSpec,
    allow: Callable[..., None],
) -> None:
    huge, two, one = (store.create(with_gpus(spec, gpus)) for gpus in (8, 2, 1))
    allow(gpus=1)
    send_all(outbox)
    for job in (huge, two, one):
        claim(attempts, job)
    allow(gpus=2)
    assert outbox.notify_where_there_is_room() == 0  # `two` is first and needs both GPUs
    attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    assert outbox.notify_where_there_is_room() == 1
    assert send_all(outbox) == [two.id]


# --- concurrency ---------------------------------------------------------------------------


def claim_each(database_url: str, ids: list[str]) -> int:
    engine = open_engine(database_url)
    attempts = AttemptStore(engine)
    claimed = [attempts.claim(job_id, worker="w", lease_seconds=60) for job_id in ids]
    engine.dispose()
    return sum(job is not None for job in claimed)


@pytest.mark.integration
@pytest.mark.parametrize("quotas", [{"running_jobs": 3}, {"gpus": 6}], ids=["running", "gpus"])
def test_many_workers_together_stay_within_the_quota(
    processes: ProcessPoolExecutor,
    store: JobStore,
    projects: ProjectStore,
    spec: JobSpec,
    database_url: str,
    allow: Callable[..., None],
    quotas: dict[str, int],
) -> None:
    allow(**quotas)
    ids = [store.create(with_gpus(spec, 2)).id for _ in range(16)]
    shares = [ids[number::NUM_PROCESSES] for number in range(NUM_PROCESSES)]
    counts = list(processes.map(claim_each, repeat(database_url), shares))
    assert sum(counts) == 3
    assert projects.report("default").usage.running_jobs == 3
    assert projects.report("default").usage.gpus == 6


@pytest.mark.integration
def test_many_who_submit_together_stay_within_the_quota(
    store: JobStore, spec: JobSpec, allow: Callable[..., None]
) -> None:
    allow(queued_jobs=5)

    def submit(_: int) -> bool:
        try:
            store.create(spec)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(submit, range(24))) == 5
    assert len(store.list()) == 5


def test_a_project_without_a_quota_cannot_fill_the_queue(
    store: JobStore, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scheduling.quotas.DEFAULT_QUEUED_JOBS", 2)
    store.create(spec)
    store.create(spec)
    with pytest.raises(QuotaExceeded):
        store.create(spec)
