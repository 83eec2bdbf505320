"""The garbage collection finds and deletes only files that no list names."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from sqlalchemy import update

from jobs.backends import Backends, open_backends
from jobs.database.tables.datasets import datasets
from jobs.datasets import content
from jobs.garbage import storage as garbage
from jobs.garbage.storage import Garbage, collect_garbage
from jobs.schemas.datasets import NewDataset
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from jobs.storage import Storage
from tests.fixtures.databases import MakeTables
from tests.jobs.store.test_artifacts import artifact

Old = Callable[[], None]


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def backends(request: pytest.FixtureRequest, tmp_path: Path, make_tables: MakeTables) -> Backends:
    settings = Settings(data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0")
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
        settings = settings.model_copy(update={"storage_url": url})
    make_tables(settings.data_dir)
    return open_backends(settings)


@pytest.fixture
def all_is_old(monkeypatch: pytest.MonkeyPatch) -> Old:
    """Return a function that makes all files count as older than a day."""
    return lambda: monkeypatch.setattr(garbage, "GIVEN_UP_AFTER", timedelta(days=-1))


def attempt_of(backends: Backends, job_id: str) -> Job:
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=60)
    assert job is not None
    return job


def put(backends: Backends, job: Job, key: str, tmp_path: Path) -> Artifact:
    (tmp_path / "file").write_bytes(b"1234567890")
    backends.storage_for(job).upload(tmp_path / "file", key)
    path = key.split("/", 3)[3] if key.startswith("attempts/") else key
    return artifact(path, "checkpoint", 20).model_copy(update={"key": key})


def keys(storage: Storage) -> list[str]:
    return [file.key for file in storage.list("")]


def found(backends: Backends, *, dry_run: bool = False, deleted_jobs: bool = False) -> set[Garbage]:
    return set(collect_garbage(backends, dry_run=dry_run, deleted_jobs=deleted_jobs))


def test_what_a_lost_attempt_left_is_removed_and_what_is_listed_or_written_stays(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    job = attempt_of(backends, backends.store.create(spec).id)
    storage = backends.storage_for(job)
    listed = put(backends, job, "attempts/1/a/checkpoints/step-00000020/state.json", tmp_path)
    lost = put(backends, job, "attempts/1/b/checkpoints/step-00000040/state.json", tmp_path)
    backends.attempts.add_artifacts(job.id, 1, [listed])
    backends.attempts.requeue(job.id, 1)
    job = attempt_of(backends, job.id)
    written = put(backends, job, "attempts/2/c/checkpoints/step-00000040/state.json", tmp_path)

    expected = {Garbage("unlisted file of a job", job.id, files=1, size=10)}
    assert found(backends, dry_run=True) == expected
    assert keys(storage) == [listed.key, lost.key, written.key]
    assert found(backends) == expected
    assert keys(storage) == [listed.key, written.key]

    backends.attempts.finish(job.id, 2, JobStatus.CANCELLED)
    assert found(backends) == expected
    assert keys(storage) == [listed.key]


def test_unlisted_files_of_older_versions_are_removed_once_no_worker_holds_the_job(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    job = attempt_of(backends, backends.store.create(spec).id)
    listed = put(backends, job, "checkpoints/step-00000020/state.json", tmp_path)
    put(backends, job, "checkpoints/step-00000040/state.json", tmp_path)
    backends.attempts.add_artifacts(job.id, 1, [listed])
    assert found(backends) == set()

    backends.attempts.finish(job.id, 1, JobStatus.CANCELLED)
    assert found(backends) == {Garbage("unlisted file of a job", job.id, files=1, size=10)}
    assert keys(backends.storage_for(job)) == [listed.key]


def test_in_a_place_that_a_spec_names_the_files_of_others_stay(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    place = {"output": {"uri": (tmp_path / "place").as_uri()}}
    job = backends.store.create(JobSpec.model_validate({**spec.model_dump(mode="json"), **place}))
    for name in ("attempts/1/a/final/model", "final/model", "reports/mine.txt"):
        (tmp_path / "place" / name).parent.mkdir(parents=True)
        (tmp_path / "place" / name).write_bytes(b"1")
    assert found(backends) == set()  # the location has no marker file with an owner
    (tmp_path / "place/relora-job.txt").write_text(job.id)
    assert found(backends) == {Garbage("unlisted file of a job", job.id, files=1, size=1)}
    assert keys(backends.storage_for(job)) == [
        "final/model",
        "relora-job.txt",
        "reports/mine.txt",
    ]


def test_the_files_of_deleted_jobs_go_where_it_is_asked_for(
    backends: Backends, spec: JobSpec, tmp_path: Path, all_is_old: Old
) -> None:
    job, other = backends.store.create(spec), backends.store.create(spec)
    for one in (job, other):
        kept = put(backends, one, "attempts/1/a/final/model", tmp_path)
        attempt_of(backends, one.id)
        backends.attempts.add_artifacts(one.id, 1, [kept])
        backends.attempts.finish(one.id, 1, JobStatus.CANCELLED)
    backends.store.delete(job.id)
    assert found(backends, deleted_jobs=True) == set()  # the files are too new
    all_is_old()
    assert found(backends) == set()
    assert found(backends, deleted_jobs=True) == {
        Garbage("files of a deleted job", job.id, files=1, size=10)
    }
    assert keys(backends.own_storage()) == [f"jobs/{other.id}/attempts/1/a/final/model"]


def test_an_upload_that_was_given_up_is_removed_and_one_that_goes_on_stays(
    backends: Backends, tmp_path: Path
) -> None:
    storage, store = backends.own_storage(), backends.datasets
    (tmp_path / "part").write_bytes(b"12345")
    new = NewDataset(name="d", filename="d.txt", size=10, sha256="0" * 64)
    given_up, goes_on = (store.create("default", new) for _ in range(2))
    for dataset in (given_up, goes_on):
        content.append(store, storage, "default", dataset, tmp_path / "part")
    expires = timedelta(seconds=backends.settings.upload_expires_seconds)
    with backends.engine.begin() as connection:
        age = update(datasets).values(updated_at=datetime.now(UTC) - expires)
        connection.execute(age.where(datasets.c.id == given_up.id))

    expected = {Garbage("abandoned upload", given_up.id, files=1, size=5)}
    assert found(backends, dry_run=True) == expected
    assert len(keys(storage)) == 2
    assert found(backends) == expected
    assert keys(storage) == [part.key for part in store.parts(goes_on.id)]


def test_a_part_that_a_killed_server_did_not_list_is_removed_after_a_day(
    backends: Backends, tmp_path: Path, all_is_old: Old
) -> None:
    storage, store = backends.own_storage(), backends.datasets
    (tmp_path / "part").write_bytes(b"12345")
    new = NewDataset(name="d", filename="d.txt", size=10, sha256="0" * 64)
    dataset = store.create("default", new)
    content.append(store, storage, "default", dataset, tmp_path / "part")
    storage.upload(tmp_path / "part", f"uploads/{dataset.id}/{5:020d}-beef")
    assert found(backends) == set()  # the API may be about to list the part
    all_is_old()
    assert found(backends) == {Garbage("unlisted part of an upload", "uploads", files=1, size=5)}
    assert keys(storage) == [part.key for part in store.parts(dataset.id)]


def test_an_upload_that_was_killed_a_day_ago_is_removed(
    tmp_path: Path, make_tables: MakeTables
) -> None:
    settings = Settings(data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0")
    make_tables(settings.data_dir)
    folder = tmp_path / "data/storage/jobs/job_1/attempts/1/a"
    folder.mkdir(parents=True)
    for name in ("old", "new"):
        (folder / f".unfinished-{name}").write_bytes(b"1")
    os.utime(folder / ".unfinished-old", (0, 0))

    assert found(open_backends(settings)) == {Garbage("unfinished upload", "jobs", 1, 1)}
    assert [file.name for file in folder.iterdir()] == [".unfinished-new"]


@pytest.mark.integration
def test_parts_of_large_files_that_s3_still_holds_are_removed_after_a_day(
    s3_url: str, tmp_path: Path, all_is_old: Old, make_tables: MakeTables
) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0", storage_url=s3_url
    )
    make_tables(settings.data_dir)
    backends = open_backends(settings)
    client, (bucket, _, prefix) = boto3.client("s3"), s3_url.removeprefix("s3://").partition("/")
    for folder in ("uploads/ds_1", "elsewhere"):
        key = f"{prefix}/{folder}/x".lstrip("/")
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"1" * 5_000_000
        )
    assert found(backends) == set()
    all_is_old()
    expected = {Garbage("unfinished upload", "uploads", 1, 5_000_000)}
    assert found(backends, dry_run=True) == expected
    assert found(backends) == expected
    assert found(backends) == set()
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert ["elsewhere" in upload["Key"] for upload in left] == [True]


@pytest.mark.slow
def test_garbage_is_collected_while_an_upload_runs(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    """No file of the upload is lost before it is listed, and neither is the file's folder."""
    job = attempt_of(backends, backends.store.create(spec).id)
    backends.attempts.requeue(job.id, 1)
    attempt_of(backends, job.id)
    over = threading.Event()
    problems: list[str] = []

    def collect() -> None:
        while not over.is_set():
            list(collect_garbage(backends, dry_run=False, passed_over=problems.append))

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        for number in range(10):
            put(backends, job, f"attempts/1/{number}/final/lost", tmp_path)
            key = f"attempts/2/{number}/checkpoints/step-0000000{number % 2}/state.json"
            uploaded = put(backends, job, key, tmp_path)
            backends.attempts.add_artifacts(job.id, 2, [uploaded])
    finally:
        over.set()
        collector.join()
    assert problems == []
    listed = {one.key for one in backends.store.artifacts(job.id)}
    assert len(listed) == 2
    assert listed <= set(keys(backends.storage_for(job)))


def test_a_storage_that_cannot_be_reached_is_passed_over_with_a_word(
    backends: Backends, spec: JobSpec, tmp_path: Path
) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "gone", "AWS_SECRET_ACCESS_KEY": "gone"}
    place = {"output": {"uri": "s3://theirs/run"}, "secrets": secrets}
    job = backends.store.create(JobSpec.model_validate({**spec.model_dump(mode="json"), **place}))
    other = attempt_of(backends, backends.store.create(spec).id)
    put(backends, other, "attempts/0/a/final/lost", tmp_path)
    problems: list[str] = []
    collected = list(collect_garbage(backends, dry_run=False, passed_over=problems.append))
    assert [one.where for one in collected] == [other.id]
    assert [problem.partition(": ")[0] for problem in problems] == [f"job {job.id}"]
