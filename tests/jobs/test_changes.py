"""Changes of a job by a person: its name, labels, place in the queue, and its deletion."""

import pytest

from jobs.access.projects import ProjectStore
from jobs.errors import IllegalTransition, JobNotFound, QuotaExceeded
from jobs.scheduling.outbox import Outbox
from jobs.schemas.events import JobQueued
from jobs.schemas.job import Job, JobChanges, JobSpec
from jobs.schemas.projects import ProjectChanges, Quotas
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from tests.jobs.samples import CRASH, artifact, types


def test_name_and_labels_are_changed_at_any_time(store: JobStore, running: Job) -> None:
    changed = store.change(running.id, JobChanges(name="better", labels={"a": "b"}))
    assert (changed.name, changed.labels) == ("better", {"a": "b"})
    assert (changed.spec.name, changed.spec.labels) == ("better", {"a": "b"})
    assert store.get(running.id) == changed


def test_what_is_left_out_stays(store: JobStore, job: Job) -> None:
    changed = store.change(job.id, JobChanges(priority=7))
    assert (changed.priority, changed.spec.priority) == (7, 7)
    assert (changed.name, changed.labels) == (job.name, job.labels)
    assert store.change(job.id, JobChanges()).spec == changed.spec


def test_only_a_queued_job_gets_another_priority(store: JobStore, running: Job) -> None:
    with pytest.raises(IllegalTransition, match="running; it cannot be given another priority"):
        store.change(running.id, JobChanges(name="better", priority=1))
    assert store.get(running.id).name == running.name


def test_the_place_in_the_queue_is_by_priority_then_age(store: JobStore, spec: JobSpec) -> None:
    ids = [store.create(spec).id for _ in range(4)]
    store.change(ids[2], JobChanges(priority=1))
    store.request_action(ids[0], RequestedAction.PAUSE)
    places = {job.id: job.progress.queue_position for job in store.list()}
    assert places == {ids[0]: None, ids[1]: 2, ids[2]: 1, ids[3]: 3}
    assert [store.progress(one).queue_position for one in ids] == [None, 2, 1, 3]
    assert store.resume(ids[0]).progress.queue_position == 2


def test_a_version_grows_with_each_event(store: JobStore, job: Job) -> None:
    assert store.progress(job.id).version == 1
    store.request_action(job.id, RequestedAction.PAUSE)
    assert store.progress(job.id).version == 2
    assert store.get(job.id).progress == store.progress(job.id)


def test_a_failed_job_is_retried_with_all_its_attempts(
    store: JobStore, attempts: AttemptStore, outbox: Outbox, running: Job
) -> None:
    for entry in outbox.unsent():
        outbox.mark_sent(entry.id)
    attempts.finish(running.id, 1, JobStatus.FAILED, error=CRASH)
    job = store.retry(running.id)
    assert (job.status, job.error, job.finished_at) == (JobStatus.QUEUED, None, None)
    last = store.events(job.id)[-1]
    assert isinstance(last, JobQueued)
    assert last.reason == "retried"
    assert [entry.job_id for entry in outbox.unsent()] == [job.id]
    for attempt in (2, 3):
        attempts.claim(job.id, worker="w1", lease_seconds=60)
        assert attempts.retry(job.id, attempt, CRASH) is JobStatus.QUEUED
    attempts.claim(job.id, worker="w1", lease_seconds=60)
    assert attempts.retry(job.id, 4, CRASH) is JobStatus.FAILED


def test_a_cancelled_job_is_retried_and_no_other(store: JobStore, job: Job) -> None:
    with pytest.raises(IllegalTransition, match="is queued; it cannot be retried"):
        store.retry(job.id)
    store.request_action(job.id, RequestedAction.CANCEL)
    assert store.retry(job.id).status is JobStatus.QUEUED


@pytest.mark.parametrize("again", ["resume", "retry"])
def test_no_job_comes_back_over_the_quota(
    store: JobStore, projects: ProjectStore, job: Job, spec: JobSpec, again: str
) -> None:
    store.request_action(
        job.id, RequestedAction.PAUSE if again == "resume" else RequestedAction.CANCEL
    )
    store.create(spec)
    projects.change("default", ProjectChanges(quotas=Quotas(queued_jobs=1)))
    with pytest.raises(QuotaExceeded):
        getattr(store, again)(job.id)
    projects.change("default", ProjectChanges(quotas=Quotas(queued_jobs=2)))
    assert getattr(store, again)(job.id).status is JobStatus.QUEUED


def test_a_job_that_is_over_is_deleted_with_all_that_is_known_of_it(
    store: JobStore, attempts: AttemptStore, outbox: Outbox, running: Job
) -> None:
    attempts.add_artifacts(running.id, 1, [artifact("final/a")])
    attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    store.delete(running.id)
    for ask in (store.get, store.events, store.artifacts, store.delete):
        with pytest.raises(JobNotFound):
            ask(running.id)
    assert outbox.unsent() == []


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED])
def test_a_job_that_is_not_over_is_not_deleted(
    store: JobStore, attempts: AttemptStore, job: Job, status: JobStatus
) -> None:
    if status is JobStatus.RUNNING:
        attempts.claim(job.id, worker="w1", lease_seconds=60)
        attempts.started(job.id, 1, resumed_from=None)
    elif status is JobStatus.PAUSED:
        store.request_action(job.id, RequestedAction.PAUSE)
    before = types(store, job.id)
    with pytest.raises(
        IllegalTransition,
        match=f"is {status.value}; it cannot be deleted. Cancel it first, with `relora jobs cancel",
    ):
        store.delete(job.id)
    assert types(store, job.id) == before
