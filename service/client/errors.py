"""What can go wrong between a program and the service.

ApiError           the service said no; `code` is stable
Unreachable        nobody answers, or only a proxy does
InvalidConnection  the address or the key cannot be one
CorruptDownload    what arrived is not what the service says it stored
"""

from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError

from service.schemas.responses import ExceededQuota, FieldProblem, Problem

GATEWAY_ERRORS = frozenset({502, 503, 504})


@dataclass
class ApiError(Exception):
    """The service said no; `code` is stable, `errors` names the fields to change."""

    status: int
    code: str
    message: str
    errors: list[FieldProblem] = field(default_factory=list)
    quota: ExceededQuota | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        lines = [
            ": ".join(filter(None, (problem.path, problem.message))) for problem in self.errors
        ]
        return "\n  ".join([self.message, *lines])


class Unreachable(Exception):
    """Nobody answers at the address of the service."""


class InvalidConnection(ValueError):
    """The address of the service, or the key, cannot be one."""


class CorruptDownload(Exception):
    """What arrived is not what the service says it stored."""


def error_of(response: httpx.Response) -> ApiError | Unreachable:
    """What a response of 400 or more, which has been read, says is wrong."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:  # not from the service: a proxy, another server, or an answer to HEAD
        return _of_a_stranger(response)
    return ApiError(
        problem.status,
        problem.code,
        problem.detail,
        problem.errors or [],
        problem.quota,
        problem.request_id,
    )


def _of_a_stranger(response: httpx.Response) -> ApiError | Unreachable:
    if response.status_code in GATEWAY_ERRORS:
        return Unreachable(f"{response.url.host} answers {response.status_code}")
    text = f"{response.url} answers {response.status_code} {response.reason_phrase}"
    return ApiError(response.status_code, "http_error", text)
