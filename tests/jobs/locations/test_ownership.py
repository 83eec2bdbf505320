"""The ownership of output locations that specs name."""

from pathlib import Path

import pytest

from jobs.locations.ownership import MARKER_FILE, claim_output, owner_of, release_output
from jobs.storage import Storage, open_storage


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "file":
        return open_storage((tmp_path / "models").as_uri())
    return open_storage(request.getfixturevalue("s3_url"))


def never() -> bool:
    return False


def put(storage: Storage, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    storage.upload(tmp_path / "file", key)


def test_an_empty_place_becomes_that_of_the_first_job(storage: Storage) -> None:
    assert claim_output(storage, "job_1", wrote_before=never)
    assert claim_output(storage, "job_1", wrote_before=never)
    assert not claim_output(storage, "job_2", wrote_before=lambda: True)
    assert owner_of(storage) == "job_1"


def test_a_place_with_files_of_nobody_knows_whom_is_nobodys_to_take(
    storage: Storage, tmp_path: Path
) -> None:
    put(storage, tmp_path, "final/model.safetensors")
    assert not claim_output(storage, "job_1", wrote_before=never)
    assert owner_of(storage) is None


def test_files_that_no_job_would_replace_are_no_hindrance(storage: Storage, tmp_path: Path) -> None:
    put(storage, tmp_path, "notes.txt")
    assert claim_output(storage, "job_1", wrote_before=never)


def test_a_job_that_wrote_there_before_there_were_marks_goes_on(
    storage: Storage, tmp_path: Path
) -> None:
    put(storage, tmp_path, "checkpoints/step-00000020/manifest.json")
    assert claim_output(storage, "job_1", wrote_before=lambda: True)


def test_a_mark_is_made_once(storage: Storage) -> None:
    assert storage.create(MARKER_FILE, b"job_1")
    assert not storage.create(MARKER_FILE, b"job_2")
    assert b"".join(storage.read(MARKER_FILE)) == b"job_1"


def test_only_its_own_place_is_given_up(storage: Storage) -> None:
    claim_output(storage, "job_1", wrote_before=never)
    release_output(storage, "job_2")
    assert owner_of(storage) == "job_1"
    release_output(storage, "job_1")
    assert owner_of(storage) is None
