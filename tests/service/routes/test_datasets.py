"""Uploads over HTTP by tus 1.0: in one request or many, broken off, raced, and wrong."""

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
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
METADATA = {
    "name": "corpus",
    "filename": "corpus.txt",
    "sha256": hashlib.sha256(BYTES).hexdigest(),
}
TUS = {"Tus-Resumable": "1.0.0"}
PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def written(metadata: dict[str, str]) -> str:
    pairs = ((key, base64.b64encode(text.encode()).decode()) for key, text in metadata.items())
    return ",".join(f"{key} {text}" for key, text in pairs)


NEW = {**TUS, "Upload-Length": str(len(BYTES)), "Upload-Metadata": written(METADATA)}


@pytest.fixture
def dataset(http: httpx.Client) -> dict[str, Any]:
    created: dict[str, Any] = http.post("/v1/datasets", headers=NEW).raise_for_status().json()
    return created


@pytest.fixture
def upload(dataset: dict[str, Any]) -> str:
    return f"/v1/datasets/{dataset['id']}"


def send(http: httpx.Client, upload: str, offset: int, body: bytes) -> httpx.Response:
    return http.patch(upload, content=body, headers={**PART, "Upload-Offset": str(offset)})


def offset(http: httpx.Client, upload: str) -> str:
    return http.head(upload, headers=TUS).headers["Upload-Offset"]


def is_ready(http: httpx.Client, upload: str) -> bool:
    return bool(http.get(upload).json()["status"] == "ready")


def test_the_service_says_what_uploads_support(http: httpx.Client) -> None:
    response = http.options("/v1/datasets")
    assert response.status_code == 204
    assert {name: text for name, text in response.headers.items() if name.startswith("tus-")} == {
        "tus-resumable": "1.0.0",
        "tus-version": "1.0.0",
        "tus-extension": "creation,expiration,termination",
        "tus-max-size": "100000000000",
    }


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [({"Tus-Resumable": "0.2.2"}, 412, "unsupported_tus_version"), ({}, 422, "invalid_request")],
)
def test_another_version_is_refused_and_nothing_done(
    http: httpx.Client, upload: str, version: dict[str, str], status: int, code: str
) -> None:
    new, part = (
        {name: text for name, text in headers.items() if name not in TUS}
        for headers in (NEW, {**PART, "Upload-Offset": "0"})
    )
    created = http.post("/v1/datasets", headers={**new, **version})
    sent = http.patch(upload, content=b"x", headers={**part, **version})
    for response in (created, sent):
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["Tus-Resumable"] == "1.0.0"
    assert len(http.get("/v1/datasets").json()["items"]) == 1
    assert offset(http, upload) == "0"


def test_a_refused_version_is_told_which_ones_there_are(http: httpx.Client, upload: str) -> None:
    for ask in (http.head, http.get, http.delete):
        response = ask(upload, headers={"Tus-Resumable": "2.0.0"})
        assert (response.status_code, response.headers["Tus-Version"]) == (412, "1.0.0")


def test_a_method_may_come_in_a_header(http: httpx.Client, upload: str) -> None:
    asked = {**PART, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert http.post(upload, content=b"x" * 10, headers=asked).status_code == 204
    assert offset(http, upload) == "10"
    assert http.post(upload, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).is_success
    assert http.get(upload).status_code == 404


def test_an_upload_says_when_it_expires(http: httpx.Client, upload: str) -> None:
    for response in (send(http, upload, 0, BYTES[:100]), http.head(upload)):
        dataset = http.get(upload).json()
        last_byte = datetime.fromisoformat(dataset["updated_at"]).replace(microsecond=0)
        expires = parsedate_to_datetime(response.headers["Upload-Expires"])
        assert expires == last_byte + timedelta(days=1)
    assert "Upload-Expires" not in send(http, upload, 100, BYTES[100:]).headers


def test_bytes_come_with_the_media_type_of_tus(http: httpx.Client, upload: str) -> None:
    asked = {**TUS, "Upload-Offset": "0", "Content-Type": "application/octet-stream"}
    response = http.patch(upload, content=BYTES, headers=asked)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert "application/offset+octet-stream" in response.json()["detail"]
    assert response.headers["Tus-Resumable"] == "1.0.0"


def test_a_dataset_is_announced_and_found(http: httpx.Client) -> None:
    response = http.post("/v1/datasets", headers=NEW)
    created = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/datasets/{created['id']}"
    assert created["uri"] == f"upload://{created['id']}"
    assert (created["status"], created["received"]) == ("uploading", 0)
    assert http.get(response.headers["Location"]).json() == created
    assert http.get("/v1/datasets").json() == {"items": [created], "next": None}


def test_the_name_of_a_dataset_is_that_of_its_file_unless_it_has_another(
    http: httpx.Client,
) -> None:
    metadata = {key: text for key, text in METADATA.items() if key != "name"}
    headers = {**NEW, "Upload-Metadata": written(metadata)}
    assert http.post("/v1/datasets", headers=headers).json()["name"] == "corpus.txt"


def test_a_file_is_uploaded_in_one_request(http: httpx.Client, upload: str) -> None:
    response = send(http, upload, 0, BYTES)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Upload-Offset"] == str(len(BYTES))
    assert is_ready(http, upload)
    head = http.head(upload, headers=TUS)
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(BYTES))
    assert head.headers["Upload-Metadata"] == written(METADATA)
    assert head.headers["Cache-Control"] == "no-store"


def test_a_large_body_is_stored_part_by_part(
    http: httpx.Client,
    backends: Backends,
    dataset: dict[str, Any],
    upload: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_buffer, "PART_BYTES", 2_000_000)
    assert send(http, upload, 0, BYTES).is_success
    assert is_ready(http, upload)
    parts = backends.datasets.parts(dataset["id"])
    assert len(parts) == 3
    assert sum(part.size for part in parts) == len(BYTES)


def test_an_upload_goes_on_where_it_was(http: httpx.Client, upload: str) -> None:
    assert send(http, upload, 0, BYTES[:100]).headers["Upload-Offset"] == "100"
    refused = send(http, upload, 0, BYTES)
    assert (refused.status_code, refused.json()["code"]) == (409, "offset_mismatch")
    assert refused.headers["Upload-Offset"] == offset(http, upload) == "100"
    assert send(http, upload, 100, BYTES[100:]).is_success
    assert is_ready(http, upload)


def test_a_connection_that_breaks_loses_no_byte(http: httpx.Client, url: str, upload: str) -> None:
    address = urlsplit(url)
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as raw:
        asked = {"Host": "localhost", **PART, "Upload-Offset": "0"}
        fields = "".join(f"{name}: {text}\r\n" for name, text in asked.items())
        head = f"PATCH {upload} HTTP/1.1\r\n{fields}"
        raw.sendall(f"{head}Content-Length: {len(BYTES)}\r\n\r\n".encode() + BYTES[:3_000_000])
    give_up_at = time.monotonic() + 20
    while offset(http, upload) != "3000000":
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    assert send(http, upload, 3_000_000, BYTES[3_000_000:]).is_success
    assert is_ready(http, upload)


def test_a_file_that_is_not_the_announced_one_is_refused(http: httpx.Client, upload: str) -> None:
    wrong = send(http, upload, 0, b"x" * len(BYTES))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "checksum_mismatch")
    assert offset(http, upload) == "0"
    assert send(http, upload, 0, BYTES).is_success
    assert is_ready(http, upload)


def test_more_bytes_than_announced_are_refused(http: httpx.Client, upload: str) -> None:
    response = send(http, upload, 0, BYTES + b"x")
    assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")


def test_an_upload_says_its_offset(http: httpx.Client, upload: str) -> None:
    response = http.patch(upload, content=BYTES, headers=PART)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filename": "corpus.pdf"}, "filename"),
        ({"sha256": "abc"}, "sha256"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused_by_field(
    http: httpx.Client, change: dict[str, str], field: str
) -> None:
    headers = {**NEW, "Upload-Metadata": written({**METADATA, **change})}
    response = http.post("/v1/datasets", headers=headers)
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [field]


def test_an_unknown_key_of_an_upload_is_answered_with_the_nearest_one(http: httpx.Client) -> None:
    headers = {**NEW, "Upload-Metadata": written({**METADATA, "file_name": "a.txt"})}
    (error,) = http.post("/v1/datasets", headers=headers).json()["errors"]
    assert error == {
        "path": "file_name",
        "message": "unknown field; did you mean `filename`?",
    }


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Upload-Length", "0"),
        ("Upload-Length", "many"),
        ("Upload-Metadata", "filename !"),
        ("Upload-Metadata", "filename /w=="),  # 0xff, which is not UTF-8
        ("Upload-Metadata", "filename YS50eHQ=,filename Yi50eHQ="),
        ("Upload-Metadata", ","),
    ],
)
def test_a_header_that_does_not_fit_is_named(http: httpx.Client, header: str, value: str) -> None:
    response = http.post("/v1/datasets", headers={**NEW, header: value})
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [header]


def test_a_dataset_is_deleted_unless_a_job_needs_it(
    http: httpx.Client, dataset: dict[str, Any], upload: str, document: dict[str, Any]
) -> None:
    training = {"steps": 10**6}  # many epochs
    spec = {**document, "data": {"train": {"uri": dataset["uri"]}}, "training": training}
    refused = http.post("/v1/jobs", json=spec)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["path"] == "data.train.uri"
    assert "go on with its upload" in error["message"]

    send(http, upload, 0, BYTES)
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
    ids = [http.post("/v1/datasets", headers=NEW).json()["id"] for _ in range(3)]
    first = http.get("/v1/datasets", params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == [ids[2], ids[1]]
    rest = http.get("/v1/datasets", params={"limit": 2, "cursor": first["next"]}).json()
    assert ([item["id"] for item in rest["items"]], rest["next"]) == ([ids[0]], None)


class TestSmallLimit:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"upload_max_bytes": 1000})

    def test_a_file_over_the_limit_of_the_service_is_refused(self, http: httpx.Client) -> None:
        assert http.options("/v1/datasets").headers["Tus-Max-Size"] == "1000"
        response = http.post("/v1/datasets", headers=NEW)
        assert (response.status_code, response.json()["code"]) == (413, "upload_too_large")
        assert "1,000 bytes" in response.json()["detail"]


def test_an_upload_that_is_whole_is_hashed_once_for_many_who_ask(
    http: httpx.Client,
    backends: Backends,
    dataset: dict[str, Any],
    upload: str,
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
        answers = list(pool.map(lambda _: send(http, upload, len(BYTES), b""), range(12)))
    assert {answer.status_code for answer in answers} == {204}
    assert is_ready(http, upload)
    assert len(hashed) <= HASHED_AT_ONCE


def test_a_field_that_is_missing_is_named_once(http: httpx.Client) -> None:
    headers = {**NEW, "Upload-Metadata": written({"filename": "corpus.txt"})}
    (error,) = http.post("/v1/datasets", headers=headers).json()["errors"]
    assert (error["path"], error["message"]) == ("sha256", "required")
