import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import update

from jobs.backends import Backends
from jobs.database.tables.jobs import jobs
from jobs.datasets import content
from jobs.schemas.datasets import NewDataset
from jobs.schemas.projects import ProjectChanges, Quotas
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.settings import Settings
from tests.worker.conftest import MakeSpec
from tests.worker.processes import environ, wait_until
from worker.reaper import delete_stored_files, reap, repeat

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url)


def test_a_job_whose_worker_is_silent_is_queued_again(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job_id = backends.store.create(make_spec()).id
    reap(backends)
    backends.attempts.claim(job_id, worker="w", lease_seconds=0)
    messages = backends.queue.depth()

    reap(backends)

    assert backends.store.get(job_id).status is JobStatus.QUEUED
    backoff_ends(backends, job_id)
    reap(backends)
    assert backends.queue.depth() == messages + 1


def backoff_ends(backends: Backends, job_id: str) -> None:
    with backends.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(not_before=0))


def test_a_message_that_the_broker_lost_is_sent_again_when_the_reaper_starts(
    backends: Backends, make_spec: MakeSpec, valkey_url: str
) -> None:
    backends.store.create(make_spec())
    reap(backends)
    with Redis.from_url(valkey_url) as broker:
        broker.flushdb()
    for resend_after_seconds, messages in ((60, 0), (0, 1)):
        for _ in range(2):  # one round writes the message, the next one sends it
            reap(backends, resend_after_seconds=resend_after_seconds)
        assert backends.queue.depth() == messages


def test_a_job_that_waited_for_its_quota_is_told_when_there_is_room(
    backends: Backends, make_spec: MakeSpec
) -> None:
    backends.projects.change("default", ProjectChanges(quotas=Quotas(running_jobs=1)))
    first, second = (backends.store.create(make_spec()).id for _ in range(2))
    for job_id in (first, second):
        backends.attempts.claim(job_id, worker="w", lease_seconds=60)
    reap(backends)
    messages = backends.queue.depth()

    reap(backends)
    assert backends.queue.depth() == messages
    backends.attempts.finish(first, 1, JobStatus.CANCELLED)
    reap(backends)

    assert backends.queue.depth() == messages + 1
    assert backends.attempts.claim(second, worker="w", lease_seconds=60) is not None


@pytest.mark.slow
def test_an_upload_that_was_given_up_leaves_the_storage(
    backends: Backends, settings: Settings, tmp_path: Path
) -> None:
    new = NewDataset(name="corpus", filename="corpus.txt", size=2, sha256="0" * 64)
    dataset = backends.datasets.create("default", new)
    (tmp_path / "part").write_bytes(b"1")
    storage = backends.own_storage()
    content.append(backends.datasets, storage, "default", dataset, tmp_path / "part")

    reap(backends)
    assert len(list(storage.list("uploads"))) == 1

    hurried = settings.model_copy(update={"upload_expires_seconds": 1e-9})
    reap(replace(backends, settings=hurried))
    delete_stored_files(backends)
    assert list(storage.list("uploads")) == []
    assert backends.datasets.list("default") == []


def test_the_files_of_a_deleted_job_are_deleted(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job = backends.store.create(make_spec())
    (tmp_path / "log").write_bytes(b"1")
    backends.storage_for(job).upload(tmp_path / "log", "attempts/1/log")
    backends.store.request_action(job.id, RequestedAction.CANCEL)
    backends.store.delete(job.id, with_files=True)
    delete_stored_files(backends)
    assert list(backends.own_storage().list("jobs")) == []


@pytest.mark.slow
def test_it_works_through_the_outbox_until_it_is_told_to_end(
    backends: Backends, make_spec: MakeSpec, settings: Settings
) -> None:
    backends.store.create(make_spec())
    process = subprocess.Popen([sys.executable, "-m", "worker.reaper"], env=environ(settings))
    try:
        wait_until(lambda: not backends.outbox.unsent())
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()


def test_no_error_ends_what_the_reaper_repeats() -> None:
    rounds: list[object] = []

    def work() -> None:
        rounds.append(None)
        if len(rounds) > 2:
            sys.exit()
        raise ValueError("nobody thought of this")

    with pytest.raises(SystemExit):
        repeat("do the work", work, 0.0)
