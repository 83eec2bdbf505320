"""`relora gc`, on a database and a storage of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.garbage import local_disk
from jobs.schemas.job import JobSpec
from jobs.settings import Settings
from tests.service.cli.conftest import Relora


@pytest.fixture
def lost(document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that no job lists."""
    monkeypatch.setenv("RELORA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(local_disk, "gettempdir", lambda: str(tmp_path))
    settings = Settings()
    migrate(settings.database_url)
    job = open_backends(settings).store.create(JobSpec.model_validate(document))
    file = tmp_path / "data/storage/jobs" / job.id / "attempts/0/a/final/model"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"12345")
    return file


def test_what_would_go_is_said_by_kind_before_it_goes(relora: Relora, lost: Path) -> None:
    lines = relora("gc", "--dry-run").stdout.splitlines()
    assert lines[0].startswith("unlisted file of a job, job_")
    assert lines[1:] == [
        "unlisted file of a job: would delete 1 file, 5 bytes",
        "would delete 1 file, 5 bytes",
    ]
    assert lost.exists()
    (found,) = map(json.loads, relora("gc", "--json").stdout.splitlines())
    assert (found["kind"], found["files"], found["size"]) == ("unlisted file of a job", 1, 5)
    assert not lost.exists()
    assert relora("gc").stdout == "deleted 0 files, 0 bytes\n"


def test_a_storage_that_was_not_looked_through_is_a_failure(
    relora: Relora, lost: Path, document: dict[str, Any]
) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "gone", "AWS_SECRET_ACCESS_KEY": "gone"}
    place = {"output": {"uri": "s3://theirs/run"}, "secrets": secrets}
    named = JobSpec.model_validate({**document, **place})
    job = open_backends(Settings()).store.create(named)
    result = relora("gc")
    assert result.exit_code == 1
    assert f"passed over: job {job.id}: " in result.stderr
    assert not lost.exists()
