"""The files of a job that is deleted while the storage is down are deleted later."""

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from sqlalchemy import select, update

from jobs.backends import Backends, open_backends
from jobs.database.engine import database_now
from jobs.database.tables.deleted_jobs import deleted_jobs
from jobs.errors import IllegalTransition, StorageError
from jobs.garbage.deleted_jobs import delete_due_files, delete_files
from jobs.garbage.storage import Garbage, collect_garbage
from jobs.locations.ownership import claim_output
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.settings import Settings
from jobs.storage import open_storage
from jobs.store.deleted_jobs import BACKOFF
from tests.fixtures.databases import MakeTables
from tests.fixtures.servers import READ_ONLY_CREDENTIALS
from tests.jobs.samples import artifact

KEY = "attempts/1/a/final/model"
MakeJob = Callable[..., Job]


@pytest.fixture
def backends(tmp_path: Path, make_tables: MakeTables) -> Backends:
    settings = Settings(
        data_dir=tmp_path / "data",
        broker_url="redis://127.0.0.1:9/0",
        secret_keys=SecretStr(Fernet.generate_key().decode()),
    )
    make_tables(settings.data_dir)
    return open_backends(settings)


@pytest.fixture
def job_with_file(backends: Backends, spec: JobSpec, tmp_path: Path) -> MakeJob:
    """Make a job that is over, with a file of ten bytes in its storage."""

    def make(**changes: object) -> Job:
        written = spec.model_dump(mode="json") | changes
        job_id = backends.store.create(JobSpec.model_validate(written)).id
        job = backends.attempts.claim(job_id, worker="w", lease_seconds=60)
        assert job is not None
        storage = backends.storage_for(job)
        if job.spec.output_uri is not None:
            storage = open_storage(job.spec.output_uri)
            assert claim_output(storage, job_id, wrote_before=lambda: False)
        (tmp_path / "file").write_bytes(b"1234567890")
        storage.upload(tmp_path / "file", KEY)
        listed = artifact("final/model", 10).model_copy(update={"key": KEY})
        backends.attempts.add_artifacts(job_id, 1, [listed])
        backends.attempts.finish(job_id, 1, JobStatus.CANCELLED)
        return backends.store.get(job_id)

    return make


@contextmanager
def away(folder: Path) -> Iterator[None]:
    """Make the storage fail: put a file in the place of its folder."""
    folder.rename(folder.with_name("away"))
    folder.touch()
    yield
    folder.unlink()
    folder.with_name("away").rename(folder)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def all_are_due(backends: Backends) -> None:
    with backends.engine.begin() as connection:
        connection.execute(update(deleted_jobs).values(due_at=0))


def test_files_that_the_storage_did_not_delete_are_deleted_when_it_is_back(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    job, other = job_with_file(), job_with_file()
    jobs = tmp_path / "data/storage/jobs"
    backends.store.delete(job.id, with_files=True)
    with away(jobs):
        with pytest.raises(StorageError, match="The storage failed at"):
            delete_files(backends, job.id)
        all_are_due(backends)
        delete_due_files(backends)
    assert files(jobs) == sorted([f"{job.id}/{KEY}", f"{other.id}/{KEY}"])

    all_are_due(backends)
    delete_due_files(backends)
    assert files(jobs) == [f"{other.id}/{KEY}"]
    assert backends.deleted_jobs.list() == []


@pytest.mark.integration
def test_files_in_a_place_of_the_spec_are_deleted_when_its_secrets_allow_it(
    backends: Backends, job_with_file: MakeJob, s3_url: str
) -> None:
    for name, value in zip(("id", "key"), READ_ONLY_CREDENTIALS, strict=True):
        backends.secrets.put("default", name, value)
    secrets = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    job = job_with_file(output={"uri": s3_url}, secrets=secrets)
    backends.store.delete(job.id, with_files=True)
    with pytest.raises(StorageError, match="AccessDenied"):
        delete_files(backends, job.id)
    assert [file.key for file in open_storage(s3_url).list("")] == [KEY, "relora-job.txt"]

    for name, variable in zip(("id", "key"), secrets, strict=True):
        backends.secrets.put("default", name, os.environ[variable])
    all_are_due(backends)
    delete_due_files(backends)
    assert list(open_storage(s3_url).list("")) == []
    assert backends.deleted_jobs.list() == []


@pytest.mark.parametrize("output", [None, "disk/place"])
def test_files_on_a_disk_that_is_not_mounted_are_deleted_once_it_is(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path, output: str | None
) -> None:
    place = {} if output is None else {"output": {"uri": (tmp_path / output).as_uri()}}
    job = job_with_file(**place)
    backends.store.delete(job.id, with_files=True)
    disk = tmp_path / ("disk" if place else "data/storage/jobs")
    disk.rename(tmp_path / "unmounted")
    with pytest.raises(StorageError, match="Mount its disk"):
        delete_files(backends, job.id)

    (tmp_path / "unmounted").rename(disk)
    all_are_due(backends)
    delete_due_files(backends)
    assert files(disk) == []
    assert backends.deleted_jobs.list() == []


def test_an_output_that_is_an_empty_mount_point_is_not_taken_for_deleted(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    job = job_with_file(output={"uri": disk.as_uri()})
    backends.store.delete(job.id, with_files=True)
    disk.rename(tmp_path / "unmounted")
    disk.mkdir()
    with pytest.raises(StorageError, match=f"{disk} is empty. Mount its disk"):
        delete_files(backends, job.id)

    disk.rmdir()
    (tmp_path / "unmounted").rename(disk)
    all_are_due(backends)
    delete_due_files(backends)
    assert files(disk) == []
    assert backends.deleted_jobs.list() == []


def test_a_job_that_wrote_nothing_leaves_nothing_to_delete(
    backends: Backends, spec: JobSpec
) -> None:
    job = backends.store.create(spec)
    backends.store.request_action(job.id, RequestedAction.CANCEL)
    backends.store.delete(job.id, with_files=True)
    delete_files(backends, job.id)
    assert backends.deleted_jobs.list() == []


def test_a_folder_of_output_that_a_person_deleted_is_nothing_to_wait_for(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    job = job_with_file(output={"uri": (tmp_path / "place").as_uri()})
    shutil.rmtree(tmp_path / "place")
    backends.store.delete(job.id, with_files=True)
    delete_files(backends, job.id)
    assert backends.deleted_jobs.list() == []


def test_a_deletion_that_fails_is_tried_less_and_less_often(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.deleted_jobs.BACKOFF", replace(BACKOFF, chance=lambda: 1.0))
    job = job_with_file()
    backends.store.delete(job.id, with_files=True)
    assert backends.deleted_jobs.due() == [job.id]
    pauses = []
    with away(tmp_path / "data/storage/jobs"):
        for _ in range(9):
            all_are_due(backends)
            delete_due_files(backends)
            assert backends.deleted_jobs.due() == []
            pauses.append(pause_of(backends))
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def pause_of(backends: Backends) -> float:
    """Return the pause before the only deleted job is tried again, rounded up to ten seconds."""
    left = select(deleted_jobs.c.due_at - database_now())
    with backends.engine.connect() as connection:
        seconds: float = connection.execute(left).scalar_one()
    return math.ceil(seconds / 10) * 10


def test_the_files_of_a_later_job_in_the_same_place_stay(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    job = job_with_file(output={"uri": place.as_uri()})
    backends.store.delete(job.id, with_files=True)
    with away(place), pytest.raises(StorageError):
        delete_files(backends, job.id)
    shutil.rmtree(place)  # a person deletes the files by hand
    job_with_file(output={"uri": place.as_uri()})

    all_are_due(backends)
    delete_due_files(backends)
    assert files(place) == [KEY, "relora-job.txt"]
    assert backends.deleted_jobs.list() == []


def test_other_files_in_the_place_of_a_deleted_job_stay(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    job = job_with_file(output={"uri": (tmp_path / "place").as_uri()})
    (tmp_path / "place/notes.txt").touch()
    backends.store.delete(job.id, with_files=True)
    delete_files(backends, job.id)
    assert files(tmp_path / "place") == ["notes.txt"]


def test_two_processes_do_not_delete_the_same_files_at_once(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    job = job_with_file()
    backends.store.delete(job.id, with_files=True)
    assert backends.deleted_jobs.claim(job.id) is not None
    delete_due_files(backends)
    assert files(tmp_path / "data/storage/jobs") == [f"{job.id}/{KEY}"]


def test_a_deletion_that_is_refused_leaves_the_files(backends: Backends, spec: JobSpec) -> None:
    job = backends.store.create(spec)
    with pytest.raises(IllegalTransition):
        backends.store.delete(job.id, with_files=True)
    assert backends.deleted_jobs.list() == []


def test_the_search_for_garbage_tells_and_deletes_what_waits(
    backends: Backends, job_with_file: MakeJob, tmp_path: Path
) -> None:
    job = job_with_file()
    backends.store.delete(job.id, with_files=True)
    with away(tmp_path / "data/storage/jobs"), pytest.raises(StorageError):
        delete_files(backends, job.id)
    expected = [Garbage("files of a deleted job", job.id, files=1, size=10)]
    assert list(collect_garbage(backends, dry_run=True, deleted_jobs=True)) == expected
    assert files(tmp_path / "data/storage/jobs") == [f"{job.id}/{KEY}"]
    assert list(collect_garbage(backends, dry_run=False)) == expected
    assert list(collect_garbage(backends, dry_run=False)) == []
    assert files(tmp_path / "data/storage/jobs") == []
