"""A job's files that another job reads stay until that job is over, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.errors import ArtifactNotFound, JobInUse, JobNotFound
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from tests.jobs.samples import CRASH, artifact

FOLDER = "checkpoints/step-00000100"
OTHER = "checkpoints/step-00000200"


@pytest.fixture
def parent(attempts: AttemptStore, running: Job) -> Job:
    """Return a running job that has saved two checkpoints."""
    files = [artifact(f"{folder}/state.json") for folder in (FOLDER, OTHER)]
    attempts.add_artifacts(running.id, 1, files)
    return running


def beginning_with(spec: JobSpec, parent: Job, folder: str = FOLDER) -> JobSpec:
    method = {"name": "lora", "rank": 4, "warm_start_from": f"job://{parent.id}/{folder}"}
    return JobSpec.model_validate({**spec.model_dump(mode="json"), "method": method})


def folders(store: JobStore, job: Job) -> set[str]:
    return {file.path.rpartition("/")[0] for file in store.artifacts(job.id)}


def test_a_checkpoint_is_kept_until_the_job_that_begins_with_it_is_over(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    fork = store.create(beginning_with(spec, parent))
    assert not attempts.expire_artifacts(parent.id, 1, FOLDER)

    attempts.claim(fork.id, worker="w2", lease_seconds=60)
    attempts.started(fork.id, 1, resumed_from=None)
    assert not attempts.expire_artifacts(parent.id, 1, FOLDER)  # another attempt may need it

    attempts.finish(fork.id, 1, JobStatus.SUCCEEDED)
    assert attempts.expire_artifacts(parent.id, 1, FOLDER)
    assert folders(store, parent) == {OTHER}


def test_a_paused_fork_keeps_the_checkpoint_and_a_cancelled_one_does_not(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    fork = store.create(beginning_with(spec, parent))
    store.request_action(fork.id, RequestedAction.PAUSE)
    assert not attempts.expire_artifacts(parent.id, 1, FOLDER)
    store.request_action(fork.id, RequestedAction.CANCEL)
    assert attempts.expire_artifacts(parent.id, 1, FOLDER)


def test_other_checkpoints_are_not_kept(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    store.create(beginning_with(spec, parent))
    assert attempts.expire_artifacts(parent.id, 1, OTHER)
    assert folders(store, parent) == {FOLDER}


def test_a_job_that_would_begin_with_what_is_gone_is_not_queued(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    attempts.expire_artifacts(parent.id, 1, FOLDER)
    with pytest.raises(ArtifactNotFound, match=f"Job {parent.id} has no file '{FOLDER}'"):
        store.create(beginning_with(spec, parent))
    assert [job.id for job in store.list()] == [parent.id]


def test_another_projects_job_is_as_none(
    store: JobStore, projects: ProjectStore, spec: JobSpec, parent: Job
) -> None:
    projects.create(NewProject(name="theirs"))
    with pytest.raises(JobNotFound, match=parent.id):
        store.create(beginning_with(spec, parent), project="theirs")


def test_a_job_is_not_deleted_while_another_waits_for_its_files(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    fork = store.create(beginning_with(spec, parent))
    attempts.finish(parent.id, 1, JobStatus.SUCCEEDED)
    before = store.get(parent.id)
    with pytest.raises(JobInUse, match=re.escape(f"begin with: {fork.id}. Delete it when")):
        store.delete(parent.id)
    assert store.get(parent.id) == before
    assert folders(store, parent) == {FOLDER, OTHER}

    store.request_action(fork.id, RequestedAction.CANCEL)
    store.delete(parent.id)
    with pytest.raises(JobNotFound, match=parent.id):
        store.retry(fork.id)
    assert store.get(fork.id).status is JobStatus.CANCELLED


def test_a_retried_fork_keeps_the_checkpoint_again(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    fork = store.create(beginning_with(spec, parent))
    attempts.claim(fork.id, worker="w2", lease_seconds=60)
    attempts.finish(fork.id, 1, JobStatus.FAILED, error=CRASH)
    store.retry(fork.id)
    assert not attempts.expire_artifacts(parent.id, 1, FOLDER)


def test_of_a_fork_and_a_deletion_at_once_one_wins(
    store: JobStore, attempts: AttemptStore, spec: JobSpec, parent: Job
) -> None:
    asked = beginning_with(spec, parent)
    together = Barrier(2)

    def submit() -> bool:
        together.wait()
        try:
            store.create(asked)
        except ArtifactNotFound:
            return False
        return True

    def expire() -> bool:
        together.wait()
        return bool(attempts.expire_artifacts(parent.id, 1, FOLDER))

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            attempts.add_artifacts(parent.id, 1, [artifact(f"{FOLDER}/state.json")])
            queued, expired = threads.submit(submit), threads.submit(expire)
            assert queued.result() != expired.result()
            assert (FOLDER in folders(store, parent)) == queued.result()
            for job in store.list():
                if job.id != parent.id and job.status is JobStatus.QUEUED:
                    store.request_action(job.id, RequestedAction.CANCEL)


@pytest.mark.parametrize("project", ["default", "stranger"])
def test_a_text_in_a_name_or_a_label_keeps_no_file(
    engine: Engine,
    store: JobStore,
    attempts: AttemptStore,
    spec: JobSpec,
    parent: Job,
    project: str,
) -> None:
    ProjectStore(engine).create(NewProject(name="stranger"))
    text = f"job://{parent.id}/{FOLDER}"
    store.create(spec.model_copy(update={"name": text, "labels": {"x": text}}), project=project)
    assert attempts.expire_artifacts(parent.id, 1, FOLDER)
    attempts.finish(parent.id, 1, JobStatus.SUCCEEDED)
    store.delete(parent.id)
