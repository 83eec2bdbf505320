"""Rate limits: in Valkey for all API processes together, and none without it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from jobs.backends import Backends, open_backends
from jobs.settings import Settings
from service.auth.rate_limit import RateLimited, RateLimiter
from tests.service.conftest import NOBODY
from tests.service.keys import bearing, make_key, problem
from tests.service.serving import serving


def take(
    url: str, times: int, *, caller: str, per_minute: int, burst: int, limiters: int = 1
) -> list[int]:
    """How many seconds each refused request was told to wait, by limiters in turns."""

    async def run() -> list[int]:
        waits = []
        several = [RateLimiter(url, per_minute=per_minute, burst=burst) for _ in range(limiters)]
        for number in range(times):
            try:
                await several[number % limiters].take(caller)
            except RateLimited as error:
                waits.append(error.retry_after)
        for limiter in several:
            await limiter.close()
        return waits

    return asyncio.run(run())


@pytest.mark.integration
def test_a_burst_is_let_through_and_no_more(valkey_url: str) -> None:
    assert take(valkey_url, 5, caller="burst", per_minute=6, burst=3) == [10, 10]


@pytest.mark.integration
def test_several_processes_share_one_limit(valkey_url: str) -> None:
    assert take(valkey_url, 5, caller="shared", per_minute=6, burst=3, limiters=2) == [10, 10]


@pytest.mark.integration
def test_callers_have_a_limit_each(valkey_url: str) -> None:
    for caller in ("first", "second"):
        assert take(valkey_url, 2, caller=caller, per_minute=1, burst=1) == [60]


@pytest.mark.integration
def test_requests_come_back_with_time(valkey_url: str) -> None:
    async def run() -> None:
        limiter = RateLimiter(valkey_url, per_minute=600, burst=1)
        await limiter.take("patient")
        with pytest.raises(RateLimited):
            await limiter.take("patient")
        await asyncio.sleep(0.15)
        await limiter.take("patient")
        await limiter.close()

    asyncio.run(run())


def test_without_valkey_nobody_is_limited_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert take(NOBODY, 20, caller="any", per_minute=1, burst=1) == []
    (line,) = caplog.messages
    assert line.startswith("no rate limits for 5 s: ")


def test_without_a_limit_valkey_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert take(NOBODY, 20, caller="any", per_minute=0, burst=1) == []
    assert caplog.messages == []


@pytest.fixture
def limited(settings: Settings, valkey_url: str) -> Iterator[Backends]:
    """Two requests at once, and one a minute."""
    changes = {
        "broker_url": valkey_url,
        "authentication": "required",
        "requests_per_minute": 1,
        "request_burst": 2,
    }
    with closing(open_backends(settings.model_copy(update=changes))) as backends:
        yield backends


@pytest.mark.integration
def test_a_key_that_asks_too_often_is_told_when_to_come_back(limited: Backends) -> None:
    busy, quiet = bearing(make_key(limited)), bearing(make_key(limited))
    with serving(limited) as url, httpx.Client(base_url=url) as http:
        statuses = [http.get("/v1/jobs", headers=busy).status_code for _ in range(2)]
        refused = http.get("/v1/jobs", headers=busy)
        assert http.get("/v1/jobs", headers=quiet).status_code == 200
        assert http.get("/healthz").status_code == 200
    assert statuses == [200, 200]
    assert problem(refused) == (429, "rate_limited")
    assert 58 <= int(refused.headers["Retry-After"]) <= 60


@pytest.mark.integration
def test_who_guesses_keys_is_limited_by_address(limited: Backends) -> None:
    with serving(limited) as url:
        guesses = [
            httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer rlk_{n}"})
            for n in range(3)
        ]
    assert [response.status_code for response in guesses] == [401, 401, 429]
