"""Real servers that fail, hang or are cut off in the middle of a run.

The worker reaches PostgreSQL, the S3 server and Valkey through a proxy each.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from jobs.backends import Backends, open_backends
from jobs.garbage.local_disk import NOT_UPLOADED
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from tests.faults.conftest import NothingIsLost
from tests.faults.held import (
    HELD,
    HOLD,
    SAVED,
    go_on,
    held_attempt,
    on_another_node,
    stored_checkpoints,
)
from tests.faults.jobs import SAVE_EVERY, SHORT
from tests.fixtures.proxy import Answer, AnswerTo, Proxy
from tests.jobs.test_storage_faults import failure
from tests.worker.attempts import starts
from tests.worker.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LEASE_SECONDS = 4.0


@dataclass(frozen=True)
class Proxies:
    database: Proxy
    storage: Proxy
    broker: Proxy

    def heal(self) -> None:
        for proxy in (self.database, self.storage, self.broker):
            proxy.heal()


@pytest.fixture
def proxies(
    postgres_url: str,
    s3_url: str,  # noqa: ARG001 # it sets AWS_ENDPOINT_URL
    valkey_url: str,
) -> Iterator[Proxies]:
    urls = (postgres_url, os.environ["AWS_ENDPOINT_URL"], valkey_url)
    with ExitStack() as stack:
        yield Proxies(*(stack.enter_context(Proxy.to(url)) for url in urls))


@pytest.fixture
def settings(
    proxies: Proxies,
    postgres_url: str,
    s3_url: str,
    valkey_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxies.storage.url(endpoint))
    return Settings(
        data_dir=tmp_path / "relora",
        database_url=proxies.database.url(postgres_url),
        storage_url=s3_url,
        broker_url=proxies.broker.url(valkey_url),
        lease_seconds=30,
        outage_seconds=60,
    )


def having(backends: Backends, **changes: Any) -> Backends:
    return replace(backends, settings=backends.settings.model_copy(update=changes))


def in_turn(answers: Sequence[Answer], *, times: int) -> AnswerTo:
    """Return a function that gives these answers in turn to the first requests."""
    given = islice(cycle(answers), times)
    return lambda _method, _target: next(given, None)


OVERLOADED = [failure(500, "InternalError"), failure(503, "SlowDown")]
REFUSED = [failure(403, code) for code in ("ExpiredToken", "AccessDenied", "RequestTimeTooSkewed")]
TRIED_AGAIN = "trying again in"
# Each outage, and what the worker logs when it has met it, if it is told.
OUTAGES: dict[str, tuple[Callable[[Proxies], None], str]] = {
    "database refuses connections": (lambda to: to.database.refuse(), "cannot store the events"),
    "database cuts its connections": (lambda to: to.database.drop(), ""),
    "storage is overloaded": (
        lambda to: to.storage.answer(in_turn(OVERLOADED, times=6)),
        TRIED_AGAIN,
    ),
    "storage cuts its answers": (lambda to: to.storage.cut(after_bytes=10), TRIED_AGAIN),
    "storage is slow": (lambda to: to.storage.throttle(bytes_per_second=2000), ""),
    "storage swallows packets": (lambda to: to.storage.freeze(), ""),
    "broker swallows packets": (lambda to: to.broker.freeze(), "cannot publish wake-ups"),
}


@pytest.mark.parametrize(("begin", "said"), OUTAGES.values(), ids=OUTAGES)
def test_an_attempt_outlives_an_outage_of_a_server(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    proxies: Proxies,
    caplog: pytest.LogCaptureFixture,
    begin: Callable[[Proxies], None],
    said: str,
) -> None:
    with held_attempt(backends, job_id) as held:
        begin(proxies)
        held.go_on()
        held.wait_for_the_trainer()
        wait_until(lambda: said in caplog.text)
        proxies.heal()
    assert starts(backends, job_id) == [None]
    nothing_is_lost(job_id)


@pytest.mark.parametrize(
    ("fault", "next_node", "resumes_from"),
    [
        (f"at:{HELD},{HELD + SAVE_EVERY - 2}:stop", "relora", SAVED + SAVE_EVERY),
        (HOLD, "relora", SHORT),
        (HOLD, "another", SAVED),
    ],
    ids=["ended", "done", "done, and another node goes on"],
)
def test_a_trainer_ends_with_its_lease_while_the_database_hangs_and_nothing_it_did_is_lost(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    proxies: Proxies,
    fault: str,
    next_node: str,
    resumes_from: int,
    tmp_path: Path,
) -> None:
    node = having(backends, lease_seconds=LEASE_SECONDS)
    with held_attempt(node, job_id, fault=fault) as held:
        proxies.database.freeze()
        lease_ends = time.monotonic() + LEASE_SECONDS
        held.go_on()
        held.wait_for_the_trainer()
        assert time.monotonic() < lease_ends + 2
        assert held.attempt.is_alive()  # it still waits for the database
        time.sleep(max(0, lease_ends - time.monotonic()))
        proxies.database.heal()
    assert backends.store.get(job_id).status is JobStatus.RUNNING
    wait_until(lambda: backends.attempts.expire_leases() == [job_id])
    go_on(on_another_node(backends, tmp_path / next_node), job_id)
    assert starts(backends, job_id) == [None, resumes_from]
    nothing_is_lost(job_id)


def test_a_model_that_is_on_the_worker_alone_is_uploaded_by_the_next_attempt(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost, proxies: Proxies
) -> None:
    with held_attempt(having(backends, outage_seconds=1), job_id) as held:
        proxies.storage.refuse()
        held.go_on()
        held.wait()
        proxies.storage.heal()
    assert backends.store.get(job_id).status is JobStatus.QUEUED
    assert stored_checkpoints(backends, job_id) == {SAVED, SAVED // 2}
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SHORT]
    nothing_is_lost(job_id)


def test_a_job_that_the_storage_refuses_goes_on_when_a_person_has_mended_that(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost, proxies: Proxies
) -> None:
    with held_attempt(backends, job_id) as held:
        proxies.storage.answer(in_turn(REFUSED, times=1000))
        held.go_on()
        held.wait()
        proxies.storage.heal()
    job = backends.store.get(job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == NOT_UPLOADED
    backends.store.retry(job_id)
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SHORT]
    nothing_is_lost(job_id)


def test_a_put_of_a_node_that_was_cut_off_and_comes_back_changes_no_file_of_the_next_attempt(
    backends: Backends,
    settings: Settings,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    proxies: Proxies,
    postgres_url: str,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_off: list[str] = []

    def freeze(method: str, target: str) -> Answer | None:
        if method == "PUT" and "/checkpoints/" in target and not cut_off:
            proxies.storage.freeze()
            proxies.database.freeze()
            cut_off.append(target)
        return None

    own = {"database_url": postgres_url, "data_dir": tmp_path / "another"}
    another = open_backends(settings.model_copy(update=own))
    node = having(backends, lease_seconds=LEASE_SECONDS)
    with closing(another), held_attempt(node, job_id) as held:
        proxies.storage.answer(freeze)
        held.go_on()
        wait_until(lambda: bool(cut_off))
        wait_until(lambda: another.attempts.expire_leases() == [job_id])
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
        go_on(another, job_id)
        storage = another.storage_for(another.store.get(job_id))
        late = cut_off[0].partition(f"/{job_id}/")[2]
        stored, listed = list(storage.list("")), another.store.artifacts(job_id)
        assert late not in {file.key for file in stored}
        proxies.heal()
        wait_until(lambda: late in {file.key for file in storage.list("")})
    assert backends.store.artifacts(job_id) == listed
    assert [file for file in storage.list("") if file.key != late] == stored
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)
