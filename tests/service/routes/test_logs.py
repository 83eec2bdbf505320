"""Logs over HTTP: their end, a part, what comes; from the database and from the storage."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Artifact, Job
from jobs.schemas.status import JobStatus
from service.streams import logs as open_logs
from tests.service.routes.test_events import STREAM, frames

WHOLE = b"one\ntwo\nthree\nfour\n"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_logs, "POLL_SECONDS", 0.02)


Say = Callable[[bytes], None]


@pytest.fixture
def say(backends: Backends, running: Job) -> Say:
    """What the trainer of the running job prints."""
    said = 0

    def append(text: bytes) -> None:
        nonlocal said
        backends.logs.append(running.id, 1, said, text)
        said += len(text)

    return append


@pytest.fixture
def store_file(backends: Backends, running: Job, tmp_path: Path) -> Say:
    """The attempt is over: its log is a file."""

    def store(text: bytes) -> None:
        file = tmp_path / "attempt-1.log"
        file.write_bytes(text)
        backends.storage_for(running).upload(file, "logs/attempt-1.log")
        artifact = Artifact(
            path="logs/attempt-1.log",
            kind="log",
            step=None,
            size=len(text),
            sha256="0" * 64,
            created_at=running.created_at,
        )
        backends.attempts.add_artifacts(running.id, 1, [artifact])
        backends.logs.forget(running.id, 1)
        backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)

    return store


@pytest.fixture(params=["say", "store_file"])
def path(request: pytest.FixtureRequest, running: Job) -> str:
    """Of the whole log, kept in either place."""
    request.getfixturevalue(request.param)(WHOLE)
    return f"/v1/jobs/{running.id}/logs"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", WHOLE),
        ("?tail=2", b"three\nfour\n"),
        ("?tail=9", WHOLE),
        ("?tail=0", b""),
        ("?attempt=1&tail=1", b"four\n"),
    ],
)
def test_the_log_or_its_last_lines_are_text(
    http: httpx.Client, path: str, query: str, text: bytes
) -> None:
    answer = http.get(path + query)
    assert (answer.status_code, answer.content) == (200, text)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_range_of_bytes_is_a_part(http: httpx.Client, path: str) -> None:
    answer = http.get(path, headers={"Range": "bytes=4-7"})
    assert (answer.status_code, answer.content) == (206, b"two\n")
    assert answer.headers["Content-Range"].startswith("bytes 4-7/")
    assert http.get(path, headers={"Range": "bytes=-5"}).content == b"four\n"
    beyond = http.get(path, headers={"Range": "bytes=19-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */19")


def test_the_last_lines_are_found_over_many_blocks(
    http: httpx.Client, running: Job, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_logs, "BLOCK_BYTES", 7)
    for number in range(200):
        say(f"line {number}\n".encode())
    answer = http.get(f"/v1/jobs/{running.id}/logs?tail=50")
    assert answer.text.splitlines() == [f"line {number}" for number in range(150, 200)]


def test_bytes_that_are_not_kept_any_more_are_refused_until_the_attempt_is_over(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    backends.logs.append(running.id, 1, 1000, b"the end\n")
    path = f"/v1/jobs/{running.id}/logs"
    assert http.get(path).text == "the end\n"
    answer = http.get(path, headers={"Range": "bytes=0-10"})
    assert answer.status_code == 416
    assert "Bytes before 1000 can be read once" in answer.json()["detail"]


def test_a_job_has_no_log_before_its_first_attempt(http: httpx.Client, job: Job) -> None:
    answer = http.get(f"/v1/jobs/{job.id}/logs")
    assert (answer.status_code, answer.json()["code"]) == (404, "log_not_found")


def test_an_attempt_that_never_was_has_no_log(http: httpx.Client, running: Job) -> None:
    answer = http.get(f"/v1/jobs/{running.id}/logs?attempt=2")
    assert answer.json()["detail"] == f"Job {running.id} has no log of attempt 2."


def test_who_follows_reads_on_from_the_database_into_the_file(
    http: httpx.Client, running: Job, say: Say, store_file: Say
) -> None:
    say(b"one\n")
    path = f"/v1/jobs/{running.id}/logs?follow=true"
    with http.stream("GET", path) as response:
        lines = response.iter_lines()
        assert next(lines) == "one"
        say(b"two\n")
        assert next(lines) == "two"
        store_file(WHOLE)
        assert list(lines) == ["three", "four"]


def test_who_follows_a_silent_attempt_hears_it_end(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    with http.stream("GET", f"/v1/jobs/{running.id}/logs", headers=STREAM) as response:
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"  # the server listens before the attempt ends
        backends.attempts.requeue(running.id, 1)
        assert [line for line in lines if line] == ["event: end", "data: ", "id: 0"]


def test_a_stream_resumes_after_the_last_lines_that_were_seen(
    http: httpx.Client, running: Job, store_file: Say
) -> None:
    store_file(WHOLE)
    path = f"/v1/jobs/{running.id}/logs"
    with http.stream("GET", path, headers={**STREAM, "Last-Event-ID": "8"}) as response:
        told = list(frames(response))
    assert told[1:] == [
        {"event": "log", "data": "four", "id": "19"},
        {"event": "end", "data": "", "id": "19"},
    ]
    seen = http.get(path, headers={**STREAM, "Last-Event-ID": "19"})
    assert seen.status_code == 204


@pytest.mark.parametrize("accept", ["text/event-stream", "text/plain"])
def test_a_line_of_any_length_keeps_every_character(
    http: httpx.Client, running: Job, store_file: Say, accept: str
) -> None:
    line = "x" + "😀" * 50_000  # more than a block, and no character begins where one ends
    store_file(line.encode())
    address = f"/v1/jobs/{running.id}/logs?follow=true"
    text = http.get(address, headers={"Accept": accept}).text
    assert "\ufffd" not in text
    assert text.count("😀") == 50_000
