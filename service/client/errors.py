"""The errors that the client raises.

ApiError           the service refused the request; programs can rely on its `code`
Unreachable        the service does not answer, or only a proxy answers
InvalidConnection  the address or the API key is malformed
CorruptDownload    the downloaded content differs from what the service stored
"""

from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError

from relora_core.spec.error_messages import FieldError
from service.schemas.responses import ExceededQuota, FieldProblem, Problem

GATEWAY_ERRORS = frozenset({502, 503, 504})


@dataclass
class ApiError(Exception):
    """The service refused the request. `code` is stable; `errors` names the fields to change."""

    status: int
    code: str
    message: str
    errors: list[FieldProblem] = field(default_factory=list)
    quota: ExceededQuota | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        lines = [str(FieldError(problem.path, problem.message)) for problem in self.errors]
        return "\n  ".join([self.message, *lines])


class Unreachable(Exception):
    """The service does not answer at its address."""


class InvalidConnection(ValueError):
    """The address of the service or the API key is malformed."""


class CorruptDownload(Exception):
    """The downloaded content differs from what the service stored."""


def error_of(response: httpx.Response) -> ApiError | Unreachable:
    """Return the error that a response with a status of 400 or more describes.

    The content of the response must have been read.
    """
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
