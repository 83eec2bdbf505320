"""Files over HTTP: in parts from a folder, by a link from an object store."""

import hashlib
import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.job import Artifact, Job, JobSpec
from tests.service.serving import serving

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "final/model.safetensors"


@pytest.fixture
def stored(backends: Backends, running: Job, tmp_path: Path) -> str:
    """The address of a file that a job made."""
    store(backends, running, NAME, tmp_path)
    return f"/v1/jobs/{running.id}/artifacts/{NAME}"


def store(
    backends: Backends, job: Job, path: str, tmp_path: Path, kind: ArtifactKind = "final"
) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    backends.storage_for(job).upload(file, path)
    artifact = Artifact(
        path=path,
        kind=kind,
        step=100,
        size=len(CONTENT),
        sha256=SHA256,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    backends.attempts.add_artifacts(job.id, 1, [artifact])


def test_files_are_listed_with_their_address(http: httpx.Client, running: Job, stored: str) -> None:
    assert http.get(f"/v1/jobs/{running.id}/artifacts").json() == {
        "items": [
            {
                "path": NAME,
                "kind": "final",
                "step": 100,
                "size": 1024,
                "sha256": SHA256,
                "key": NAME,
                "created_at": "2026-01-02T00:00:00Z",
                "url": stored,
            }
        ],
        "next": None,
    }


@pytest.mark.usefixtures("stored")
def test_files_are_listed_by_kind_and_page(
    http: httpx.Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    store(backends, running, "logs/attempt-1.log", tmp_path, kind="log")
    url = f"/v1/jobs/{running.id}/artifacts"

    def asked(**query: str | int) -> tuple[list[str], str | None]:
        page = http.get(url, params=query).raise_for_status().json()
        return [file["path"] for file in page["items"]], page["next"]

    assert asked(kind="log") == (["logs/attempt-1.log"], None)
    assert asked(step=100, prefix="fin") == ([NAME], None)
    assert asked(limit=1) == ([NAME], NAME)
    assert asked(limit=1, cursor=NAME) == (["logs/attempt-1.log"], None)  # the last, and full
    assert http.get(url, params={"kind": "weights"}).status_code == 422


@pytest.mark.usefixtures("stored")
def test_checkpoints_are_listed_page_by_page(
    http: httpx.Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    store(backends, running, "checkpoints/step-00000100/state.json", tmp_path, kind="checkpoint")
    url = f"/v1/jobs/{running.id}/checkpoints"
    first = http.get(url, params={"limit": 1}).json()
    assert [item["kind"] for item in first["items"]] == ["checkpoint"]
    rest = http.get(url, params={"cursor": first["next"]}).json()
    assert rest == {
        "items": [
            {
                "step": 100,
                "kind": "final",
                "path": "final",
                "files": 1,
                "size": 1024,
                "sha256": hashlib.sha256(f"{SHA256}  model.safetensors\n".encode()).hexdigest(),
                "created_at": "2026-01-02T00:00:00Z",
                "merged": True,
                "metrics": {},
                "metrics_step": None,
            }
        ],
        "next": None,
    }
    assert http.get(url, params={"cursor": "newest"}).status_code == 422


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


@pytest.mark.parametrize("known", [f'"{SHA256}"', f'"older", W/"{SHA256}"', "*"])
def test_a_file_that_the_client_has_is_not_sent_again(
    http: httpx.Client, stored: str, known: str
) -> None:
    response = http.get(stored, headers={"If-None-Match": known})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == f'"{SHA256}"'
    assert http.get(stored, headers={"If-None-Match": '"older"'}).content == CONTENT


def test_a_file_says_what_it_is(
    http: httpx.Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    for name, expected in (
        ("final/config.json", "application/json"),
        ("final/model.safetensors", "application/octet-stream"),
        ("logs/attempt-1.log", "text/plain; charset=utf-8"),
    ):
        store(backends, running, name, tmp_path)
        response = http.get(f"/v1/jobs/{running.id}/artifacts/{name}")
        assert response.headers["Content-Type"] == expected
        assert response.headers["X-Content-Type-Options"] == "nosniff"


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
    backends.attempts.add_artifacts(running.id, 1, [artifact])
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
    backends.attempts.claim(job.id, worker="w1", lease_seconds=60)
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


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getnames()


@pytest.mark.usefixtures("stored")
def test_a_model_is_downloaded_as_one_archive(
    http: httpx.Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    store(backends, running, "final/config.json", tmp_path)
    store(backends, running, "logs/attempt-1.log", tmp_path, kind="log")
    response = http.get(f"/v1/jobs/{running.id}/model.tar")
    folder = f"{running.id}-step-100"
    assert names(response.content) == [f"{folder}/config.json", f"{folder}/model.safetensors"]
    assert response.headers["Content-Type"] == "application/x-tar"
    assert response.headers["Content-Length"] == str(len(response.content))
    assert response.headers["Content-Disposition"] == f"attachment; filename*=utf-8''{folder}.tar"


@pytest.mark.usefixtures("stored")
def test_a_broken_download_of_an_archive_is_resumed(http: httpx.Client, running: Job) -> None:
    url = f"/v1/jobs/{running.id}/model.tar"
    whole = http.get(url)
    resume = {"Range": "bytes=700-", "If-Range": whole.headers["ETag"]}
    rest = http.get(url, headers=resume)
    assert (rest.status_code, rest.content) == (206, whole.content[700:])
    changed = http.get(url, headers={**resume, "If-Range": '"older"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    head = http.head(url)
    assert head.headers["Content-Length"] == str(len(whole.content))
    assert http.get(url, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304


@pytest.mark.usefixtures("stored")
def test_a_model_of_a_step_that_has_none_is_not_found(http: httpx.Client, running: Job) -> None:
    response = http.get(f"/v1/jobs/{running.id}/model.tar", params={"step": 20})
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


@pytest.mark.usefixtures("stored")
def test_an_archive_with_a_file_that_is_gone_is_refused_before_it_begins(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.storage_for(running).delete("final")
    response = http.get(f"/v1/jobs/{running.id}/model.tar")
    assert (response.status_code, response.json()["code"]) == (404, "artifact_not_found")


@pytest.mark.integration
def test_an_archive_comes_from_an_object_store_too(
    backends: Backends, document: dict[str, Any], s3_url: str, tmp_path: Path
) -> None:
    spec = JobSpec.model_validate({**document, "output": {"uri": f"{s3_url}/run"}})
    job = backends.store.create(spec)
    backends.attempts.claim(job.id, worker="w1", lease_seconds=60)
    store(backends, job, NAME, tmp_path)
    with serving(backends) as url, httpx.Client(base_url=url) as http:
        whole = http.get(f"/v1/jobs/{job.id}/model.tar")
        part = http.get(f"/v1/jobs/{job.id}/model.tar", headers={"Range": "bytes=1000-1099"})
    assert names(whole.content) == [f"{job.id}-step-100/model.safetensors"]
    assert (part.status_code, part.content) == (206, whole.content[1000:1100])
