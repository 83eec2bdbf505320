"""Uploaded datasets that are staged for the trainer, from a folder and from a bucket."""

import hashlib
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.datasets import content
from jobs.schemas.datasets import NewDataset, UploadedDataset
from jobs.settings import Settings
from relora_core.data.find import find_files
from relora_core.errors import DataError
from tests.worker.conftest import BeginAttempt, MakeSpec
from worker.transfers.staging import stage


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "file":
        return settings
    return settings.model_copy(update={"storage_url": request.getfixturevalue("s3_url")})


def upload(backends: Backends, folder: Path, *parts: bytes) -> UploadedDataset:
    whole = b"".join(parts)
    digest = hashlib.sha256(whole).hexdigest()
    new = NewDataset(name="corpus", filename="corpus.txt", size=len(whole), sha256=digest)
    to = backends.datasets, backends.own_storage(), "default"
    dataset = backends.datasets.create("default", new)
    for part in parts:
        (folder / "part").write_bytes(part)
        dataset = content.append(*to, dataset, folder / "part")
    return content.finish(*to, dataset)


def test_an_upload_is_put_together_once(
    backends: Backends, begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    uri = upload(backends, tmp_path, b"In the ", b"beginning").uri
    attempt = begin_attempt(make_spec(data={"train": {"uri": uri}}))

    (file,) = find_files(stage(attempt)[uri])

    assert (file.name, file.read_text()) == ("corpus.txt", "In the beginning")
    assert list(file.parent.iterdir()) == [file]
    backends.own_storage().delete("uploads")  # a node with a copy does not need it
    assert find_files(stage(attempt)[uri]) == [file]


def test_an_upload_that_was_spoilt_or_lost_is_an_error_of_the_data(
    backends: Backends, begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    dataset = upload(backends, tmp_path, b"In the beginning")
    attempt = begin_attempt(make_spec(data={"train": {"uri": dataset.uri}}))
    (part,) = backends.datasets.parts(dataset.id)
    (tmp_path / "other").write_bytes(b"in the beginning")
    backends.own_storage().upload(tmp_path / "other", part.key)
    with pytest.raises(DataError, match=r"does not have dataset .* as it was uploaded"):
        stage(attempt)

    backends.own_storage().delete("uploads")
    with pytest.raises(DataError, match=f"the dataset of {dataset.uri!r} was deleted"):
        stage(attempt)
