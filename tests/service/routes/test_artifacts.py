"""Files over HTTP: in parts from a folder, by a link from an object store."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.models import Artifact, Job, JobSpec
from tests.service.serving import serving

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "final/model.safetensors"


@pytest.fixture
def stored(backends: Backends, running: Job, tmp_path: Path) -> str:
    """The address of a file that a job made."""
    store(backends, running, NAME, tmp_path)
    return f"/v1/jobs/{running.id}/artifacts/{NAME}"


def store(backends: Backends, job: Job, path: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    backends.storage_for(job).upload(file, path)
    artifact = Artifact(
        path=path,
        kind="final",
        step=100,
        size=len(CONTENT),
        sha256=SHA256,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    backends.store.add_artifacts(job.id, 1, [artifact])


def test_files_are_listed_with_their_address(http: httpx.Client, running: Job, stored: str) -> None:
    assert http.get(f"/v1/jobs/{running.id}/artifacts").json() == {
        "items": [
            {
                "path": NAME,
                "kind": "final",
                "step": 100,
                "size": 1024,
                "sha256": SHA256,
                "created_at": "2026-01-02T00:00:00Z",
                "url": stored,
            }
        ],
        "next": None,
    }


def test_a_file_is_downloaded_whole(http: httpx.Client, stored: str) -> None:
    response = http.get(stored)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["ETag"] == f'"{SHA256}"'
    assert response.headers["Content-Length"] == "1024"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Disposition"] == (
        "attachment; filename*=utf-8''model.safetensors"
    )


def test_a_part_of_a_file_is_downloaded(http: httpx.Client, stored: str) -> None:
    response = http.get(stored, headers={"Range": "bytes=10-19"})
    assert (response.status_code, response.content) == (206, CONTENT[10:20])
    assert response.headers["Content-Range"] == "bytes 10-19/1024"
    assert response.headers["Content-Length"] == "10"


def test_a_part_of_a_file_that_has_changed_is_the_whole(http: httpx.Client, stored: str) -> None:
    same = {"Range": "bytes=10-19", "If-Range": f'"{SHA256}"'}
    other = {"Range": "bytes=10-19", "If-Range": '"older"'}
    assert http.get(stored, headers=same).status_code == 206
    assert http.get(stored, headers=other).content == CONTENT


def test_a_part_beyond_the_end_is_refused(http: httpx.Client, stored: str) -> None:
    response = http.get(stored, headers={"Range": "bytes=1024-"})
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["Content-Range"] == "bytes */1024"


def test_head_tells_of_a_file_without_sending_it(http: httpx.Client, stored: str) -> None:
    response = http.head(stored)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["Content-Length"] == "1024"
    assert response.headers["ETag"] == f'"{SHA256}"'


def test_an_empty_file_is_downloaded(
    http: httpx.Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    backends.storage_for(running).upload(tmp_path / "empty", "logs/attempt-1.log")
    artifact = Artifact(
        path="logs/attempt-1.log",
        kind="log",
        step=None,
        size=0,
        sha256=hashlib.sha256().hexdigest(),
        created_at=datetime.now(UTC),
    )
    backends.store.add_artifacts(running.id, 1, [artifact])
    response = http.get(f"/v1/jobs/{running.id}/artifacts/logs/attempt-1.log")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("path", ["final/none", "..%2F..%2Frelora.db", "final"])
def test_a_file_that_the_job_did_not_make_is_not_found(
    http: httpx.Client, stored: str, path: str
) -> None:
    response = http.get(stored.removesuffix(NAME) + path)
    assert (response.status_code, response.json()["code"]) == (404, "artifact_not_found")


def test_a_file_that_left_the_storage_is_not_found(
    http: httpx.Client, backends: Backends, running: Job, stored: str
) -> None:
    backends.storage_for(running).delete("final")
    response = http.get(stored)
    assert (response.status_code, response.json()["code"]) == (404, "artifact_not_found")


@pytest.mark.integration
def test_a_file_in_an_object_store_is_fetched_from_there(
    backends: Backends,
    document: dict[str, Any],
    s3_url: str,
    tmp_path: Path,
) -> None:
    spec = JobSpec.model_validate({**document, "output": {"uri": f"{s3_url}/run"}})
    job = backends.store.create(spec)
    backends.store.claim(job.id, worker="w1", lease_seconds=60)
    store(backends, job, NAME, tmp_path)
    with serving(backends) as url, httpx.Client(base_url=url) as http:
        path = f"/v1/jobs/{job.id}/artifacts/{NAME}"
        redirect = http.get(path)
        part = http.get(path, headers={"Range": "bytes=10-19"}, follow_redirects=True)
        head = http.head(path)
    assert redirect.status_code == 307
    assert (part.status_code, part.content) == (206, CONTENT[10:20])
    assert "model.safetensors" in part.headers["Content-Disposition"]
    assert (head.status_code, head.headers["Content-Length"]) == (200, "1024")
