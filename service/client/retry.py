"""Rules for retries: when to send a request again, and how long to wait before."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from jobs.backoff import Backoff
from service.client.errors import GATEWAY_ERRORS, ApiError, Unreachable
from service.client.requests import Request

BACKOFF = Backoff(first=0.5, longest=8.0)
LONGEST_ASKED_SECONDS = 60.0  # for a longer `Retry-After`, raise instead of waiting
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
RATE_LIMITED = 429
BUDGET_SECONDS = 300.0  # give up after so long without an answer from the service

Outcome = httpx.Response | httpx.TransportError


@dataclass(frozen=True)
class Retry:
    """How often a request is sent again, and after which waits."""

    times: int = 4

    def delay(self, request: Request[Any], outcome: Outcome, tried: int) -> float | None:
        """Return the seconds until the request, sent `tried` times, is sent again.

        Return None if it must not be sent again.
        """
        if tried > self.times or not _may_pass(request, outcome):
            return None
        if isinstance(outcome, httpx.Response) and (asked := _asked(outcome)) is not None:
            return asked + BACKOFF.chance() if asked <= LONGEST_ASKED_SECONDS else None
        return BACKOFF.wait(tried)


class RetryBudget:
    """The retry state of a long transfer that can resume after it broke."""

    def __init__(self) -> None:
        self._tried = 0
        self._reset_at = time.monotonic()

    def reset(self) -> None:
        self._tried, self._reset_at = 0, time.monotonic()

    def next_delay(self, error: ApiError | Unreachable | None) -> float:
        """Return the seconds to wait before the next try. Raise `error` if it would be useless."""
        if error and not (_may_return(error) and self._is_left):
            raise error
        self._tried += 1
        return BACKOFF.wait(self._tried)

    @property
    def _is_left(self) -> bool:
        return time.monotonic() - self._reset_at < BUDGET_SECONDS


def _may_return(error: ApiError | Unreachable) -> bool:
    return isinstance(error, Unreachable) or error.status in GATEWAY_ERRORS | {RATE_LIMITED}


def _may_pass(request: Request[Any], outcome: Outcome) -> bool:
    if isinstance(outcome, httpx.Response):
        if outcome.status_code == RATE_LIMITED:  # the service did not process the request
            return True
        return outcome.status_code in GATEWAY_ERRORS and request.repeatable
    return isinstance(outcome, NOT_SENT) or request.repeatable


def _asked(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, or None. The service never sends it as a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
