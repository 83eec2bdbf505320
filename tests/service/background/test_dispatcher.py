"""The thread that sends the outbox."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import JobQueue
from jobs.schemas.job import JobSpec
from service.background.dispatcher import Dispatcher


def wait_until(fulfilled: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not fulfilled():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.01)


@pytest.mark.integration
def test_a_ring_sends_at_once(
    backends: Backends, document: dict[str, Any], valkey_url: str
) -> None:
    dispatcher = Dispatcher(backends.outbox, JobQueue(valkey_url), every_seconds=60)
    dispatcher.start()
    backends.store.create(JobSpec.model_validate(document))
    dispatcher.run_soon()
    wait_until(lambda: backends.outbox.unsent() == [])
    dispatcher.stop()


@pytest.mark.integration
def test_what_nobody_rang_for_is_sent_a_moment_later(
    backends: Backends, document: dict[str, Any], valkey_url: str
) -> None:
    dispatcher = Dispatcher(backends.outbox, JobQueue(valkey_url), every_seconds=0.05)
    dispatcher.start()
    backends.store.create(JobSpec.model_validate(document))
    wait_until(lambda: backends.outbox.unsent() == [])
    dispatcher.stop()


def test_without_a_broker_the_outbox_keeps_its_messages_and_the_log_says_so_once(
    backends: Backends, document: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    backends.store.create(JobSpec.model_validate(document))
    dispatcher = Dispatcher(backends.outbox, backends.queue, every_seconds=0.01)
    dispatcher.start()
    wait_until(lambda: bool(caplog.records))
    time.sleep(0.3)
    dispatcher.stop()
    assert len(backends.outbox.unsent()) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
