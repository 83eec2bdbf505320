"""The bytes of datasets, in a folder and in a bucket."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from jobs.database.engine import open_engine
from jobs.datasets import content
from jobs.datasets.store import DatasetStore
from jobs.errors import ChecksumMismatch, OffsetMismatch, StorageError
from jobs.schemas.datasets import NewDataset, UploadedDataset
from jobs.storage import Storage, open_storage

BYTES = b"0123456789" * 10


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "file":
        return open_storage((tmp_path / "storage").as_uri())
    return open_storage(request.getfixturevalue("s3_url"))


@pytest.fixture
def datasets(sqlite_store_url: str) -> Iterator[DatasetStore]:
    engine = open_engine(sqlite_store_url)
    yield DatasetStore(engine)
    engine.dispose()


@pytest.fixture
def dataset(datasets: DatasetStore) -> UploadedDataset:
    digest = hashlib.sha256(BYTES).hexdigest()
    new = NewDataset(name="corpus", filename="corpus.txt", size=len(BYTES), sha256=digest)
    return datasets.create("default", new)


class Sender:
    def __init__(self, datasets: DatasetStore, storage: Storage, folder: Path) -> None:
        self._to = datasets, storage, "default"
        self._file = folder / "part"

    def append(self, dataset: UploadedDataset, sent: bytes) -> UploadedDataset:
        self._file.write_bytes(sent)
        return content.append(*self._to, dataset, self._file)

    def finish(self, dataset: UploadedDataset) -> UploadedDataset:
        return content.finish(*self._to, dataset)


@pytest.fixture
def sender(datasets: DatasetStore, storage: Storage, tmp_path: Path) -> Sender:
    return Sender(datasets, storage, tmp_path)


def stored(storage: Storage) -> list[str]:
    return [file.key for file in storage.list("")]


def test_parts_make_the_whole(
    sender: Sender, datasets: DatasetStore, storage: Storage, dataset: UploadedDataset
) -> None:
    half = sender.append(dataset, BYTES[:60])
    assert sender.finish(half).status == "uploading"
    whole = sender.append(half, BYTES[60:])
    assert sender.finish(whole).status == "ready"
    assert b"".join(content.read(storage, datasets.parts(dataset.id))) == BYTES


def test_of_two_that_send_the_same_bytes_one_is_refused(
    sender: Sender, datasets: DatasetStore, storage: Storage, dataset: UploadedDataset
) -> None:
    sender.append(dataset, BYTES)
    with pytest.raises(OffsetMismatch):
        sender.append(dataset, b"x" * 100)
    (part,) = datasets.parts(dataset.id)
    assert stored(storage) == [part.key]  # the bytes that the other client sent are deleted
    assert sender.finish(datasets.get("default", dataset.id)).status == "ready"


def test_what_was_not_announced_is_not_kept(
    sender: Sender, datasets: DatasetStore, storage: Storage, dataset: UploadedDataset
) -> None:
    wrong = sender.append(dataset, b"x" * 100)
    found = hashlib.sha256(b"x" * 100).hexdigest()
    with pytest.raises(ChecksumMismatch, match=f"what came has {found}"):
        sender.finish(wrong)
    assert stored(storage) == []
    fresh = datasets.get("default", dataset.id)
    assert (fresh.status, fresh.received) == ("uploading", 0)
    assert sender.finish(sender.append(fresh, BYTES)).status == "ready"


def test_bytes_that_left_the_storage_are_told(
    sender: Sender, storage: Storage, dataset: UploadedDataset
) -> None:
    whole = sender.append(dataset, BYTES)
    storage.delete("uploads")
    with pytest.raises(StorageError, match="are not in the storage"):
        sender.finish(whole)


def test_what_is_deleted_leaves_the_storage(
    sender: Sender, datasets: DatasetStore, storage: Storage, dataset: UploadedDataset
) -> None:
    other = datasets.create(
        "default", NewDataset(name="o", filename="o.txt", size=1, sha256="0" * 64)
    )
    sender.append(other, b"1")
    sender.append(dataset, BYTES)
    datasets.delete("default", dataset.id)
    content.remove_deleted(datasets, lambda: storage)
    assert [key.split("/")[1] for key in stored(storage)] == [other.id]
    assert datasets.deleted() == []


def test_a_part_that_may_have_been_listed_stays_in_the_storage(
    sender: Sender,
    datasets: DatasetStore,
    storage: Storage,
    dataset: UploadedDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection fails during the commit: the part is stored, but the caller gets an error."""
    add_part = DatasetStore.add_part

    def cut(*arguments: Any) -> UploadedDataset:
        add_part(*arguments)
        raise OperationalError("COMMIT", {}, ConnectionError("cut"))

    monkeypatch.setattr(DatasetStore, "add_part", cut)
    with pytest.raises(OperationalError):
        sender.append(dataset, BYTES)
    assert stored(storage) == [part.key for part in datasets.parts(dataset.id)] != []
    assert sender.finish(datasets.get("default", dataset.id)).status == "ready"
