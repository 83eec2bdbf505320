"""What surrounds every request: limits to its body, and HEAD."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.datasets import NewDataset
from jobs.schemas.job import Job
from tests.service.serving import serving


@pytest.mark.slow
def test_head_is_answered_as_get_without_the_body_at_every_path(
    http: httpx.Client, running: Job, openapi: dict[str, Any]
) -> None:
    paths = openapi["paths"]
    endless = {"/v1/events"}
    with_get = [path for path, each in paths.items() if "get" in each and path not in endless]
    assert {"/healthz", "/readyz", "/v1/jobs/{job_id}/events"} <= set(with_get)
    for path in [*with_get, "/", "/docs", "/openapi.json", "/docs/files/swagger-ui.css"]:
        asked = re.sub(r"\{\w+\}", "1", path.replace("{job_id}", running.id))
        head, get = http.head(asked), http.get(asked)
        assert (head.status_code, head.content) == (get.status_code, b""), path


@pytest.mark.parametrize("path", ["/v1/jobs/{job_id}/events", "/v1/events"])
def test_head_of_a_stream_does_not_wait_for_its_end(
    http: httpx.Client, running: Job, path: str
) -> None:
    headers = {"Accept": "text/event-stream"}
    response = http.head(path.replace("{job_id}", running.id), headers=headers, timeout=5)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", ["/docs", "/", "/docs/files/swagger-ui.css", "/healthz"])
def test_a_method_that_no_page_has_is_refused(http: httpx.Client, path: str) -> None:
    response = http.put(path)
    assert (response.status_code, response.headers.get("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/jobs/", "/healthz/", "/v1/jobs/job_1/"])
def test_a_slash_too_many_is_not_found_and_leads_nowhere(http: httpx.Client, path: str) -> None:
    response = http.get(path, headers={"X-Forwarded-Proto": "https"})
    assert response.status_code == 404
    assert "Location" not in response.headers


@pytest.fixture
def impatient(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("service.app.BODY_SECONDS", 0.3)
    with serving(backends) as url:
        yield url


def send_a_part(url: str, head: str, part: bytes) -> tuple[int, bytes]:
    """Sends the beginning of a body and then nothing; the answer's status and body."""
    parts = urlsplit(url)
    with socket.create_connection(
        (parts.hostname or "", parts.port or 0), timeout=60
    ) as connection:
        fields = f"Host: {parts.netloc}\r\nConnection: close\r\n\r\n"
        connection.sendall(f"{head}\r\n{fields}".encode() + part)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(received.split(b" ")[1]), received.partition(b"\r\n\r\n")[2]


def test_a_body_that_does_not_come_is_not_waited_for(impatient: str) -> None:
    head = "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000"
    status, body = send_a_part(impatient, head, b"{")
    assert (status, json.loads(body)["code"]) == (408, "body_too_slow")


def test_an_upload_that_pauses_is_over_and_keeps_what_came(
    impatient: str, backends: Backends
) -> None:
    digest = hashlib.sha256(b"x" * 1000).hexdigest()
    new = NewDataset(name="slow", filename="a.txt", size=1000, sha256=digest)
    dataset = backends.datasets.create("default", new)
    head = (
        f"PATCH /v1/datasets/{dataset.id} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\n"
        "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 1000"
    )
    status, _ = send_a_part(impatient, head, b"x" * 10)
    assert status == 204
    assert backends.datasets.get("default", dataset.id).received == 10
