"""The live log: what a trainer prints is sent to the store while it runs."""

import time
from pathlib import Path

import pytest

from jobs.backends import Backends
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.supervision.test_supervisor import rename
from worker.attempt.attempt import Attempt
from worker.supervision import live_log
from worker.supervision.live_log import LiveLog


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_log, "SHIP_SECONDS", 0.0)


def shipped(attempt: Attempt) -> bytes:
    return b"".join(attempt.backends.logs.read(attempt.job.id, attempt.number, 0, 1 << 40))


def write(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_whole_lines_are_shipped_as_they_come_and_the_rest_at_the_end(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    log = LiveLog(attempt)
    write(attempt.workdir.log, b"one\ntw")
    log.ship()
    assert shipped(attempt) == b"one\n"
    write(attempt.workdir.log, b"o\nthree\nfo")
    log.ship()
    log.ship()
    assert shipped(attempt) == b"one\ntwo\nthree\n"
    log.finish()
    assert shipped(attempt) == b"one\ntwo\nthree\nfo"


def test_a_line_that_is_too_long_is_not_cut_inside_of_a_secret(
    begin_attempt: BeginAttempt,
    make_spec: MakeSpec,
    backends: Backends,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_log, "LONGEST_LINE", 10)
    monkeypatch.setattr(live_log, "READ_BYTES", 12)
    backends.secrets.put("default", "my-token", "hf_0123")
    attempt = begin_attempt(make_spec(secrets={"HF_TOKEN": "my-token"}))
    log = LiveLog(attempt)
    write(attempt.workdir.log, b"0123456789hf_0123, 012345hf_01")
    log.ship()
    assert shipped(attempt) == b"0123456789"
    write(attempt.workdir.log, b"23")
    log.finish()
    assert shipped(attempt) == b"0123456789***, 012345***"


def test_lines_are_shipped_without_the_values_of_secrets(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends
) -> None:
    backends.secrets.put("default", "my-token", "hf_0123")
    attempt = begin_attempt(make_spec(secrets={"HF_TOKEN": "my-token"}))
    log = LiveLog(attempt)
    write(attempt.workdir.log, b"token=hf_01")
    log.ship()
    write(attempt.workdir.log, b"23\n\xff\n")
    log.ship()
    write(attempt.workdir.log, b"the end\n")
    log.finish()
    assert shipped(attempt) == b"token=***\n\xff\nthe end\n"


def test_a_line_without_an_end_is_shipped_when_it_is_long(
    begin_attempt: BeginAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_log, "LONGEST_LINE", 10)
    attempt = begin_attempt()
    write(attempt.workdir.log, b"x" * 20)
    LiveLog(attempt).ship()
    assert shipped(attempt) == b"x" * 20


def test_lines_wait_for_a_store_that_is_away(
    begin_attempt: BeginAttempt, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_log, "PAUSE_AFTER_OUTAGE", 0.05)
    attempt = begin_attempt()
    log = LiveLog(attempt)
    write(attempt.workdir.log, b"one\n")
    rename(backends.settings.database_url, "log_chunks", "elsewhere")
    log.ship()
    write(attempt.workdir.log, b"two\n")
    rename(backends.settings.database_url, "elsewhere", "log_chunks")
    log.ship()
    assert shipped(attempt) == b""
    time.sleep(0.06)
    log.ship()
    assert shipped(attempt) == b"one\ntwo\n"


def test_no_error_of_the_log_breaks_the_attempt(
    begin_attempt: BeginAttempt, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("nobody thought of this")

    attempt = begin_attempt()
    write(attempt.workdir.log, b"one\n")
    with monkeypatch.context() as broken:
        broken.setattr(backends.logs, "append", refuse)
        LiveLog(attempt).ship()
    LiveLog(attempt).ship()
    assert shipped(attempt) == b"one\n"
