"""Files that no list names are found and removed, and no others."""

import os
from pathlib import Path

import pytest

from jobs.backends import Backends, open_backends
from jobs.garbage import Garbage, collect_garbage
from jobs.migrate import migrate
from jobs.models import Artifact, Job, JobSpec
from jobs.settings import Settings
from jobs.status import JobStatus
from tests.jobs.test_artifacts import artifact


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def backends(request: pytest.FixtureRequest, tmp_path: Path) -> Backends:
    settings = Settings(data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0")
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
        settings = settings.model_copy(update={"storage_url": url})
    migrate(settings.database_url)
    return open_backends(settings)


def attempt_of(backends: Backends, job_id: str) -> Job:
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=60)
    assert job is not None
    return job


def put(backends: Backends, job: Job, key: str, tmp_path: Path) -> Artifact:
    (tmp_path / "file").write_bytes(b"1234567890")
    backends.storage_for(job).upload(tmp_path / "file", key)
    path = key.split("/", 3)[3]
    return artifact(path, "checkpoint", 20).model_copy(update={"key": key})


def keys(backends: Backends, job: Job) -> list[str]:
    return [file.key for file in backends.storage_for(job).list("")]


def test_what_a_lost_attempt_left_is_removed_and_what_is_listed_or_written_stays(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    job = attempt_of(backends, backends.store.create(spec).id)
    listed = put(backends, job, "attempts/1/a/checkpoints/step-00000020/state.json", tmp_path)
    lost = put(backends, job, "attempts/1/b/checkpoints/step-00000040/state.json", tmp_path)
    backends.attempts.add_artifacts(job.id, 1, [listed])
    backends.attempts.requeue(job.id, 1)
    job = attempt_of(backends, job.id)
    written = put(backends, job, "attempts/2/c/checkpoints/step-00000040/state.json", tmp_path)

    expected = [Garbage(job.id, files=1, size=10, unfinished=0)]
    assert list(collect_garbage(backends, dry_run=True)) == expected
    assert keys(backends, job) == [listed.key, lost.key, written.key]
    assert list(collect_garbage(backends, dry_run=False)) == expected
    assert keys(backends, job) == [listed.key, written.key]

    backends.attempts.finish(job.id, 2, JobStatus.CANCELLED)
    assert list(collect_garbage(backends, dry_run=False)) == expected
    assert keys(backends, job) == [listed.key]


def test_an_upload_that_was_killed_a_day_ago_is_removed(spec: JobSpec, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0")
    migrate(settings.database_url)
    backends = open_backends(settings)
    job = backends.store.create(spec)
    folder = tmp_path / "data/storage/jobs" / job.id / "attempts/1/a"
    folder.mkdir(parents=True)
    for name in ("old", "new"):
        (folder / f".unfinished-{name}").write_bytes(b"1")
    os.utime(folder / ".unfinished-old", (0, 0))

    (found,) = collect_garbage(backends, dry_run=False)

    assert found == Garbage(job.id, files=0, size=0, unfinished=1)
    assert [file.name for file in folder.iterdir()] == [".unfinished-new"]
