"""When a request is sent again: against servers that answer as they are told."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from jobs.backoff import Backoff
from service.client import ApiError, Client, Unreachable, retry
from service.client.requests import Request, idempotency_header, nothing
from service.client.retry import Retry

Stranger = Callable[..., tuple[str, list[tuple[str, str, dict[str, str]]]]]
READ = Request("GET", "/", nothing)
MAKE = Request("POST", "/", nothing)
MAKE_ONCE = Request("POST", "/", nothing, headers=idempotency_header())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest waits, of a tenth of a second at most."""
    backoff = Backoff(first=0.01, longest=0.1, chance=lambda: 1.0)
    monkeypatch.setattr(retry, "BACKOFF", backoff)


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers)


@pytest.mark.parametrize(
    ("request_", "outcome", "again"),
    [
        (READ, answer(503), True),
        (READ, answer(500), False),
        (READ, answer(404), False),
        (READ, httpx.ReadTimeout(""), True),
        (MAKE, answer(503), False),
        (MAKE, answer(429), True),
        (MAKE, httpx.ReadTimeout(""), False),
        (MAKE, httpx.ConnectError(""), True),
        (MAKE_ONCE, answer(502), True),
        (MAKE_ONCE, httpx.ReadError(""), True),
    ],
)
def test_it_is_sent_again_if_that_can_help_and_does_no_harm(
    request_: Request[None],
    outcome: Any,
    again: bool,  # noqa: FBT001 # a parameter of the test
) -> None:
    assert (Retry().delay(request_, outcome, 1) is not None) is again


def test_the_waits_double_and_end() -> None:
    delays = [Retry(times=3).delay(READ, answer(503), tried) for tried in (1, 2, 3, 4)]
    assert delays == [0.01, 0.02, 0.04, None]


def test_the_service_says_how_long_to_wait() -> None:
    assert Retry().delay(READ, answer(429, **{"Retry-After": "7"}), 1) == 8.0
    assert Retry().delay(READ, answer(429, **{"Retry-After": "3600"}), 1) is None


def test_a_rate_limit_is_waited_for(stranger: Stranger) -> None:
    url, seen = stranger((429, {"Retry-After": "1"}), (200, {}))
    began = time.monotonic()
    with Client(url) as client:
        client.jobs.metrics_csv("job_1")
    assert time.monotonic() - began >= 1
    assert len(seen) == 2


def test_a_job_that_is_submitted_again_is_the_same_one(stranger: Stranger) -> None:
    url, seen = stranger((503, {}), (503, {}), (400, {}))
    with Client(url) as client, pytest.raises(ApiError):
        client.jobs.create({})
    keys = [headers["Idempotency-Key"] for *_, headers in seen]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_answer_that_is_not_from_the_service_is_told_as_it_is(stranger: Stranger) -> None:
    url, _ = stranger((418, {}), (502, {}))
    with Client(url, retries=1) as client:
        with pytest.raises(ApiError, match="answers 418"):
            client.jobs.get("job_1")
        with pytest.raises(Unreachable, match="answers 502"):
            client.jobs.get("job_1")
