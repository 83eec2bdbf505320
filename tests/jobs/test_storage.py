"""One suite over every storage: a folder, and a bucket of a real S3 server."""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.loaders import JSONFileLoader

from jobs.errors import StorageError
from jobs.schemas.job import Job, JobSpec
from jobs.storage import Storage, job_storage, open_storage
from jobs.store.jobs import JobStore

Put = Callable[[str, bytes], None]


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "a folder").as_uri()
    url: str = request.getfixturevalue("s3_url")
    return url


@pytest.fixture
def storage(url: str) -> Storage:
    return open_storage(url)


@pytest.fixture
def put(storage: Storage, tmp_path: Path) -> Put:
    def put(key: str, content: bytes) -> None:
        file = tmp_path / "upload"
        file.write_bytes(content)
        storage.upload(file, key)

    return put


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [file.key for file in storage.list(prefix)]


def test_a_storage_that_answers_to_a_ping_can_be_empty(storage: Storage) -> None:
    storage.ping()
    assert list(storage.list("")) == []


@pytest.mark.parametrize("name", ["run#1", "run?v=2", "a b", "[1]"])
def test_the_address_of_a_folder_is_read_as_it_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    open_storage(f"file://{tmp_path}/{name}").upload(tmp_path / "file", "final/a")
    assert (tmp_path / name / "final" / "a").read_bytes() == b"1"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["file", name])


def test_a_folder_that_cannot_be_made_fails_a_ping(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot be written to"):
        open_storage((tmp_path / "file" / "below").as_uri()).ping()


@pytest.mark.integration
def test_a_bucket_that_is_not_there_fails_a_ping(s3_url: str) -> None:
    with pytest.raises(StorageError, match="s3://nobodys-bucket"):
        open_storage(s3_url.replace("relora-tests", "nobodys-bucket")).ping()


def test_a_file_comes_back_as_it_went(storage: Storage, put: Put, tmp_path: Path) -> None:
    put("final/model.safetensors", b"weights")
    target = tmp_path / "new" / "folder" / "model.safetensors"
    storage.download("final/model.safetensors", target)
    assert target.read_bytes() == b"weights"
    (file,) = storage.list("final")
    assert (file.key, file.size) == ("final/model.safetensors", 7)
    assert abs(datetime.now(UTC) - file.modified_at) < timedelta(minutes=1)


def test_a_file_in_several_parts_comes_back_as_it_went(
    storage: Storage, put: Put, tmp_path: Path
) -> None:
    content = b"".join(
        hashlib.sha256(number.to_bytes(4)).digest() for number in range(600_000)
    )  # 19 MB: three parts of S3's 8 MiB
    put("big", content)
    storage.download("big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == content
    assert b"".join(storage.read("big")) == content
    assert max(len(chunk) for chunk in storage.read("big")) <= 1 << 20


def test_an_upload_replaces_what_was_there(storage: Storage, put: Put) -> None:
    put("a", b"old and long")
    put("a", b"new")
    assert b"".join(storage.read("a")) == b"new"


def test_an_upload_of_no_file_stores_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.upload(tmp_path / "missing", "a")
    assert keys(storage) == []


def test_an_empty_file_is_a_file(storage: Storage, put: Put, tmp_path: Path) -> None:
    put("empty", b"")
    assert b"".join(storage.read("empty")) == b""
    storage.download("empty", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""
    assert [(file.key, file.size) for file in storage.list("")] == [("empty", 0)]


def test_a_part_is_read_as_a_slice(storage: Storage, put: Put) -> None:
    content = b"0123456789"
    put("digits", content)
    for start, end in [(0, None), (3, None), (3, 5), (0, 1), (9, 100), (5, 5), (10, None)]:
        assert b"".join(storage.read("digits", start, end)) == content[start:end]


def test_a_file_that_is_not_there_is_told_at_once(
    storage: Storage, put: Put, tmp_path: Path
) -> None:
    put("there", b"")
    with pytest.raises(FileNotFoundError):
        storage.read("missing")
    with pytest.raises(FileNotFoundError):
        storage.download("missing", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    assert list(tmp_path.glob(".unfinished-*")) == []


def test_files_are_listed_by_folder_and_sorted(storage: Storage, put: Put) -> None:
    for key in ("step-10/a", "step-1/b", "step-1/a/c", "step-1.txt", "B"):
        put(key, b"1")
    assert keys(storage) == ["B", "step-1.txt", "step-1/a/c", "step-1/b", "step-10/a"]
    assert keys(storage, "step-1") == keys(storage, "step-1/") == ["step-1/a/c", "step-1/b"]
    assert keys(storage, "step-1/b") == ["step-1/b"]
    assert keys(storage, "none") == []


def test_a_folder_is_deleted_and_no_other(storage: Storage, put: Put) -> None:
    for key in ("step-1/a", "step-1/b/c", "step-10/a", "file"):
        put(key, b"1")
    storage.delete("step-1")
    storage.delete("step-1")
    storage.delete("file")
    assert keys(storage) == ["step-10/a"]


def test_a_key_cannot_leave_the_storage(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for key in ("../a", "a/../../b", "/etc/passwd", "", "a//b", "./a", "a\0b"):
        with pytest.raises(StorageError, match="plain relative path"):
            storage.upload(tmp_path / "file", key)
        with pytest.raises(StorageError, match="plain relative path"):
            storage.download(key, tmp_path / "file")
        with pytest.raises(StorageError, match="plain relative path"):
            storage.read(key)
        with pytest.raises(StorageError, match="plain relative path"):
            storage.link(key, expires_seconds=60, filename="a", media_type="text/plain")


def test_a_folder_of_files_cannot_leave_the_storage(storage: Storage) -> None:
    for prefix in ("..", "a/../..", "/", "//etc"):
        with pytest.raises(StorageError, match="plain relative path"):
            storage.delete(prefix)


def test_names_of_any_language_are_kept(storage: Storage, put: Put) -> None:
    put("modèles/ein Wort & mehr+%20.txt", "ü".encode())
    assert keys(storage) == ["modèles/ein Wort & mehr+%20.txt"]
    assert b"".join(storage.read("modèles/ein Wort & mehr+%20.txt")) == "ü".encode()


def test_a_folder_has_no_links(tmp_path: Path) -> None:
    storage = open_storage(tmp_path.as_uri())
    assert storage.link("a", expires_seconds=60, filename="a", media_type="text/plain") is None


def test_a_folder_that_cannot_be_written_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    storage = open_storage((tmp_path / "file").as_uri())  # a file where a folder should be
    with pytest.raises(StorageError, match=f"failed at {tmp_path}/file/a: "):
        storage.upload(tmp_path / "file", "a")


def test_what_a_crash_left_half_written_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-abc").write_bytes(b"1")
    assert keys(open_storage(tmp_path.as_uri())) == []


@pytest.mark.integration
def test_a_link_to_a_bucket_needs_no_credentials(s3_url: str, tmp_path: Path) -> None:
    storage = open_storage(s3_url)
    (tmp_path / "file").write_bytes(b"0123456789")
    storage.upload(tmp_path / "file", "final/config.json")
    link = storage.link(
        "final/config.json",
        expires_seconds=60,
        filename="a b.json",
        media_type="application/json",
    )
    assert link is not None
    answer = httpx.get(link, headers={"Range": "bytes=2-3"})
    assert (answer.status_code, answer.content) == (206, b"23")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b.json"
    assert answer.headers["content-type"] == "application/json"


def test_the_description_of_s3_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    open_storage("s3://bucket")
    monkeypatch.delattr(JSONFileLoader, "load_file")
    open_storage("s3://bucket")


@pytest.mark.slow
@pytest.mark.integration
def test_more_files_than_one_answer_holds_are_listed_and_deleted(
    s3_url: str, tmp_path: Path
) -> None:
    storage = open_storage(s3_url)
    (tmp_path / "file").write_bytes(b"1")
    expected = [f"many/{number:04}" for number in range(1001)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(storage.upload, repeat(tmp_path / "file"), expected))
    assert keys(storage, "many") == expected
    storage.delete("many")
    assert keys(storage) == []


@pytest.mark.integration
@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_is_not_there_is_named() -> None:
    storage = open_storage("s3://no-such-bucket/x")
    with pytest.raises(StorageError, match="s3://no-such-bucket/x"):
        list(storage.list(""))


@pytest.mark.integration
def test_credentials_that_are_refused_are_a_storage_error(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    (tmp_path / "file").write_bytes(b"1")
    storage = open_storage(s3_url)
    with pytest.raises(StorageError, match=r"SignatureDoesNotMatch|Forbidden|403"):
        storage.upload(tmp_path / "file", "a")
    with pytest.raises(StorageError, match=r"SignatureDoesNotMatch|Forbidden|403"):
        storage.read("a")


@pytest.mark.parametrize("url", ["gs://bucket", "s3://", "/folder", "file://host/folder"])
def test_another_kind_of_storage_is_refused_by_name(url: str) -> None:
    with pytest.raises(StorageError, match="use s3://bucket/prefix or file:///folder"):
        open_storage(url)


def test_a_job_has_a_folder_of_its_own_unless_its_spec_names_one(
    job: Job, store: JobStore, spec: JobSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    job_storage(f"file://{tmp_path}/all", job.id, job.spec).upload(tmp_path / "file", "log")
    assert (tmp_path / "all" / "jobs" / job.id / "log").read_bytes() == b"1"
    document = {**spec.model_dump(), "output": {"uri": f"file://{tmp_path}/own"}}
    other = store.create(JobSpec.model_validate(document))
    job_storage(f"file://{tmp_path}/all", other.id, other.spec).upload(tmp_path / "file", "log")
    assert (tmp_path / "own" / "log").read_bytes() == b"1"


def test_a_folder_that_another_process_deletes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path.as_uri())
    mkdir, calls = Path.mkdir, iter([True, False])

    def make_and_lose(path: Path, *arguments: Any, **options: Any) -> None:
        mkdir(path, *arguments, **options)
        if path.name == "a" and next(calls):
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", make_and_lose)
    (tmp_path / "upload").write_bytes(b"1")
    storage.upload(tmp_path / "upload", "a/b")
    assert keys(storage, "a") == ["a/b"]


def test_a_folder_that_another_process_deletes_at_once_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path.as_uri())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"1")
    rmtree = shutil.rmtree

    def after_another(path: Path) -> None:
        rmtree(path)
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", after_another)
    storage.delete("a")
    assert keys(storage) == []


def test_a_file_that_is_deleted_meanwhile_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").touch()
    (tmp_path / "there").touch()
    is_file = Path.is_file

    def seen_then_deleted(path: Path) -> bool:
        there = is_file(path)
        if path.name == "gone":
            path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "is_file", seen_then_deleted)
    assert keys(open_storage(tmp_path.as_uri())) == ["there"]


def test_of_what_is_created_nothing_is_seen_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(tmp_path.as_uri())

    def die(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            storage.create("mark", b"job_1")
    assert keys(storage) == []
    assert storage.create("mark", b"job_2")
    assert not storage.create("mark", b"job_1")


def test_without_links_of_the_file_system_a_file_is_created_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    storage = open_storage(tmp_path.as_uri())
    assert storage.create("mark", b"job_1")
    assert not storage.create("mark", b"job_2")
    assert b"".join(storage.read("mark")) == b"job_1"
