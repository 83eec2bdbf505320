"""Uploads over HTTP: in one request or many, broken off, raced, and wrong."""

import hashlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jobs.backends import Backends
from jobs.datasets import content as uploads
from jobs.settings import Settings
from service.app import HASHED_AT_ONCE
from service.http import upload_buffer

BYTES = bytes(range(256)) * 20_000  # 5 MB, more than a body may have elsewhere
NEW = {
    "name": "corpus",
    "filename": "corpus.txt",
    "size": len(BYTES),
    "sha256": hashlib.sha256(BYTES).hexdigest(),
}


@pytest.fixture
def dataset(http: httpx.Client) -> dict[str, Any]:
    created: dict[str, Any] = http.post("/v1/datasets", json=NEW).raise_for_status().json()
    return created


@pytest.fixture
def content(dataset: dict[str, Any]) -> str:
    return f"/v1/datasets/{dataset['id']}/content"


def send(http: httpx.Client, content: str, offset: int, body: bytes) -> httpx.Response:
    return http.patch(content, content=body, headers={"Upload-Offset": str(offset)})


def offset(http: httpx.Client, content: str) -> str:
    return http.head(content).headers["Upload-Offset"]


def test_a_dataset_is_announced_and_found(http: httpx.Client) -> None:
    response = http.post("/v1/datasets", json=NEW)
    created = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/datasets/{created['id']}"
    assert created["uri"] == f"upload://{created['id']}"
    assert (created["status"], created["received"]) == ("uploading", 0)
    assert http.get(response.headers["Location"]).json() == created
    assert http.get("/v1/datasets").json() == {"items": [created], "next": None}


def test_a_file_is_uploaded_in_one_request(http: httpx.Client, content: str) -> None:
    response = send(http, content, 0, BYTES)
    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    head = http.head(content)
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(BYTES))


def test_a_large_body_is_stored_part_by_part(
    http: httpx.Client,
    backends: Backends,
    dataset: dict[str, Any],
    content: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_buffer, "PART_BYTES", 2_000_000)
    assert send(http, content, 0, BYTES).json()["status"] == "ready"
    parts = backends.datasets.parts(dataset["id"])
    assert len(parts) == 3
    assert sum(part.size for part in parts) == len(BYTES)


def test_an_upload_goes_on_where_it_was(http: httpx.Client, content: str) -> None:
    assert send(http, content, 0, BYTES[:100]).headers["Upload-Offset"] == "100"
    refused = send(http, content, 0, BYTES)
    assert (refused.status_code, refused.json()["code"]) == (409, "offset_mismatch")
    assert refused.headers["Upload-Offset"] == offset(http, content) == "100"
    assert send(http, content, 100, BYTES[100:]).json()["status"] == "ready"


def test_a_connection_that_breaks_loses_no_byte(http: httpx.Client, url: str, content: str) -> None:
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as raw:
        head = f"PATCH {content} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        raw.sendall(f"{head}Content-Length: {len(BYTES)}\r\n\r\n".encode() + BYTES[:3_000_000])
    give_up_at = time.monotonic() + 20
    while offset(http, content) != "3000000":
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    assert send(http, content, 3_000_000, BYTES[3_000_000:]).json()["status"] == "ready"


def test_a_file_that_is_not_the_announced_one_is_refused(http: httpx.Client, content: str) -> None:
    wrong = send(http, content, 0, b"x" * len(BYTES))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "checksum_mismatch")
    assert offset(http, content) == "0"
    assert send(http, content, 0, BYTES).json()["status"] == "ready"


def test_more_bytes_than_announced_are_refused(http: httpx.Client, content: str) -> None:
    response = send(http, content, 0, BYTES + b"x")
    assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")


def test_an_upload_says_its_offset(http: httpx.Client, content: str) -> None:
    response = http.patch(content, content=BYTES)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filename": "corpus.pdf"}, "filename"),
        ({"size": 0}, "size"),
        ({"sha256": "abc"}, "sha256"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_by_field(
    http: httpx.Client, change: dict[str, Any], field: str
) -> None:
    response = http.post("/v1/datasets", json={**NEW, **change})
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [field]


def test_a_dataset_is_deleted_unless_a_job_needs_it(
    http: httpx.Client, dataset: dict[str, Any], content: str, document: dict[str, Any]
) -> None:
    training = {"steps": 10**6}  # many epochs
    spec = {**document, "data": {"train": {"uri": dataset["uri"]}}, "training": training}
    refused = http.post("/v1/jobs", json=spec)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["path"] == "data.train.uri"
    assert "go on with its upload" in error["message"]

    send(http, content, 0, BYTES)
    job = http.post("/v1/jobs", json=spec).raise_for_status().json()
    assert [warning["path"] for warning in job["warnings"]] == ["training"]
    in_use = http.delete(f"/v1/datasets/{dataset['id']}")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "dataset_in_use")
    assert job["id"] in in_use.json()["detail"]

    http.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    assert http.delete(f"/v1/datasets/{dataset['id']}").status_code == 204
    assert http.get(f"/v1/datasets/{dataset['id']}").status_code == 404
    gone = http.post("/v1/jobs", json=spec)
    assert "there is no dataset" in gone.json()["errors"][0]["message"]


def test_datasets_come_page_by_page(http: httpx.Client) -> None:
    ids = [http.post("/v1/datasets", json=NEW).json()["id"] for _ in range(3)]
    first = http.get("/v1/datasets", params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == [ids[2], ids[1]]
    rest = http.get("/v1/datasets", params={"limit": 2, "cursor": first["next"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([ids[0]], None)


class TestSmallLimit:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"upload_max_bytes": 1000})

    def test_a_file_over_the_limit_of_the_service_is_refused(self, http: httpx.Client) -> None:
        response = http.post("/v1/datasets", json=NEW)
        assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")
        assert "1000 bytes" in response.json()["detail"]


def test_an_upload_that_is_whole_is_hashed_once_for_many_who_ask(
    http: httpx.Client,
    backends: Backends,
    dataset: dict[str, Any],
    content: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "part").write_bytes(BYTES)
    announced = backends.datasets.get("default", dataset["id"])
    uploads.append(
        backends.datasets, backends.own_storage(), "default", announced, tmp_path / "part"
    )
    hashed = []
    read = uploads.read

    def slowly(*arguments: Any) -> Iterator[bytes]:
        hashed.append(1)
        time.sleep(0.3)
        return read(*arguments)

    monkeypatch.setattr(uploads, "read", slowly)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: send(http, content, len(BYTES), b""), range(12)))
    assert {answer.json()["status"] for answer in answers} == {"ready"}
    assert len(hashed) <= HASHED_AT_ONCE


def test_a_field_that_is_missing_is_named_once(http: httpx.Client) -> None:
    without_name = {key: value for key, value in NEW.items() if key != "name"}
    (error,) = http.post("/v1/datasets", json=without_name).json()["errors"]
    assert (error["path"], error["message"]) == ("name", "required")
