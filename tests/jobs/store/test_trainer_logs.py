"""Logs of running attempts, in both databases."""

import pytest
from sqlalchemy import Engine

from jobs.schemas.job import Job
from jobs.store import trainer_logs
from jobs.store.trainer_logs import Extent, LogStore


@pytest.fixture
def log(engine: Engine) -> LogStore:
    return LogStore(engine)


def text(log: LogStore, job: Job, start: int = 0, end: int = 1 << 40) -> bytes:
    return b"".join(log.read(job.id, 1, start, end))


def test_an_attempt_without_a_log_has_no_extent(log: LogStore, job: Job) -> None:
    assert log.extent(job.id, 1) is None
    assert text(log, job) == b""


def test_any_part_of_a_log_is_read(log: LogStore, job: Job) -> None:
    log.append(job.id, 1, 0, b"one\ntwo\n")
    log.append(job.id, 1, 8, b"three\n")
    log.append(job.id, 2, 0, b"another attempt\n")
    assert log.extent(job.id, 1) == Extent(0, 14)
    assert text(log, job) == b"one\ntwo\nthree\n"
    assert text(log, job, 4, 10) == b"two\nth"


def test_bytes_that_are_stored_already_are_skipped(log: LogStore, job: Job) -> None:
    log.append(job.id, 1, 0, b"one\ntwo\n")
    log.append(job.id, 1, 4, b"two\nthree\n")
    log.append(job.id, 1, 4, b"two\n")
    assert text(log, job) == b"one\ntwo\nthree\n"


def test_only_the_end_of_a_long_log_is_kept(
    log: LogStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_logs, "KEPT_BYTES", 100)
    monkeypatch.setattr(trainer_logs, "CHUNK_BYTES", 40)
    whole = bytes(range(250)) * 4
    for start in range(0, 1000, 50):
        log.append(job.id, 1, start, whole[start : start + 50])
        extent = log.extent(job.id, 1)
        assert extent is not None
        assert extent.end == start + 50
        assert extent.end - extent.start <= 140  # and a chunk that is older in part
        assert text(log, job) == whole[extent.start : extent.end]


def test_what_comes_at_once_and_is_too_much_is_cut_before_it_is_stored(
    log: LogStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_logs, "KEPT_BYTES", 100)
    log.append(job.id, 1, 0, b"a" * 50)
    log.append(job.id, 1, 50, b"b" * 900 + b"c" * 100)
    assert log.extent(job.id, 1) == Extent(950, 1050)
    assert text(log, job) == b"c" * 100


def test_a_log_that_is_elsewhere_is_forgotten(log: LogStore, job: Job) -> None:
    log.append(job.id, 1, 0, b"one\n")
    log.append(job.id, 2, 0, b"two\n")
    log.forget(job.id, 1)
    assert log.extent(job.id, 1) is None
    assert log.extent(job.id, 2) == Extent(0, 4)
