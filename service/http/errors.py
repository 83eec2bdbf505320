"""The error responses of the API. A `JobsError` has its HTTP status and code."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException

from jobs.errors import Invalid, JobsError, OffsetMismatch, QuotaExceeded
from jobs.outages import DATABASE_OUTAGES
from relora_core.spec.error_messages import FieldError, in_words
from service.auth import session_cookie
from service.auth.access import KeyRequired, NotAuthenticated, ScopeMissing
from service.auth.rate_limit import RateLimited
from service.http.json_body import BodyRefused
from service.schemas.responses import PROBLEM, ExceededQuota, FieldProblem, Problem

logger = logging.getLogger(__name__)

HTTP_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    412: "unsupported_tus_version",
    413: "body_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
}


class InvalidSpec(Invalid):
    """The job spec cannot be run. `problems` has every wrong field and the reason."""

    code = "invalid_spec"

    def __init__(self, problems: list[FieldError]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@contextmanager
def errors_under(field: str) -> Iterator[None]:
    """Name the wrong fields of a spec by their paths in a body that has the spec in this field."""
    try:
        yield
    except InvalidSpec as error:
        raise InvalidSpec([problem.under(field) for problem in error.problems]) from None


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route, for its OpenAPI entry."""
    return {status: {"model": Problem} for status in statuses}


def respond(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """Return a problem response (RFC 9457). `members` are the optional members of `Problem`."""
    request_id = request.state.request_id
    body = Problem(
        type=f"urn:relora:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=request_id,
        **members,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=status,
        media_type=PROBLEM,
        headers={**(headers or {}), "X-Request-ID": request_id},
    )


def refused(
    request: Request,
    error: JobsError,
    *,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> JSONResponse:
    """Return the problem response of a `JobsError`. `members` are as in `respond`."""
    status, code = error.http_status, error.code
    return respond(request, status, code, str(error), headers=headers, **members)


def quota_exceeded(request: Request, error: QuotaExceeded) -> JSONResponse:
    """Return 403, not 429: a client that retries on 429 could do so for hours."""
    quota = ExceededQuota(name=error.quota, used=error.used, asked=error.asked, limit=error.limit)
    return refused(request, error, quota=quota)


def rate_limited(request: Request, error: RateLimited) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after)}
    return refused(request, error, headers=headers)


def not_authenticated(request: Request, error: NotAuthenticated) -> JSONResponse:
    challenge = "Bearer" if isinstance(error, KeyRequired) else 'Bearer error="invalid_token"'
    response = refused(request, error, headers={"WWW-Authenticate": challenge})
    if session_cookie.read(request) is not None:
        session_cookie.delete(request, response)
    return response


def scope_missing(request: Request, error: ScopeMissing) -> JSONResponse:
    challenge = f'Bearer error="insufficient_scope", scope="{error.needed.value}"'
    headers = {"WWW-Authenticate": challenge}
    return refused(request, error, headers=headers)


def offset_mismatch(request: Request, error: OffsetMismatch) -> JSONResponse:
    headers = {"Upload-Offset": str(error.received)}
    return refused(request, error, headers=headers)


def invalid_spec(request: Request, error: InvalidSpec) -> JSONResponse:
    detail = "The spec was not accepted; nothing is queued."
    fields = _fields(error.problems)
    return respond(request, error.http_status, error.code, detail, errors=fields)


def invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    details = error.errors()
    if details[0]["type"] == "json_invalid":
        reason, position = details[0]["ctx"]["error"], details[0]["loc"][-1]
        message = f"The body is not JSON: {reason} at character {position}."
        return respond(request, 400, "malformed_body", message)
    if details[0]["type"] == "missing" and details[0]["loc"] == ("body",):
        return respond(request, 422, "invalid_request", "The request needs a body, as JSON.")
    detail = "The request was not accepted."
    problems = _problems(error, _body_model(request))
    return respond(request, 422, "invalid_request", detail, errors=_fields(problems))


def _problems(
    error: RequestValidationError, body_model: type[BaseModel] | None
) -> list[FieldError]:
    """Return the problems with the names of fields or parameters, without `body` or `query`."""
    details = error.errors()
    named = [{**item, "loc": item["loc"][1:]} for item in details]
    sent = {item["loc"][0]: None for item in named if item["loc"]}
    body = error.body if isinstance(error.body, Mapping) else {}
    return in_words(named, sent | dict(body), body_model)


def _body_model(request: Request) -> type[BaseModel] | None:
    """Return the model of the body that the route reads, if it reads one."""
    field = request.scope["route"].body_field
    return field.field_info.annotation if field is not None else None


def _fields(problems: list[FieldError]) -> list[FieldProblem]:
    return [FieldProblem(path=item.path, message=item.message) for item in problems]


def body_refused(request: Request, error: BodyRefused) -> JSONResponse:
    detail = "The body has values that cannot be stored."
    return respond(request, 422, "invalid_request", detail, errors=_fields([error.problem]))


def http_error(request: Request, error: HTTPException) -> JSONResponse:
    code = HTTP_CODES.get(error.status_code, "http_error")
    detail, headers = error.detail, error.headers
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}."
    elif error.status_code == 405:
        detail = f"{request.method} is not possible at {request.url.path}."
        headers = {"Allow": ", ".join(_methods_at(request))}
    return respond(request, error.status_code, code, detail, headers=headers)


def _methods_at(request: Request) -> list[str]:
    """Return the methods of all routes with this path. The framework names only those of one.

    A literal path such as /v1/jobs/estimate wins over one with parameters, such as the path of a
    job.
    """
    matching = [
        route
        for route in iter_route_contexts(request.app.routes)
        if route.methods and route.path_regex.match(request.url.path)
    ]
    if not matching:  # a mounted folder of static files
        return ["GET", "HEAD"]
    path = min(matching, key=lambda route: len(route.param_convertors)).path
    methods = {method for route in matching if route.path == path for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def store_down(request: Request, error: SQLAlchemyError) -> JSONResponse:
    logger.error("the job store does not answer: %s", error)
    detail = "The job store does not answer; try again in a moment."
    headers = {"Retry-After": "5"}
    return respond(request, 503, "store_unavailable", detail, headers=headers)


def not_storable(request: Request, error: DataError) -> JSONResponse:
    """Return 422 for a value that some databases refuse, such as NUL in a text or 30 digits."""
    detail = "The job store cannot hold this value; look for NUL characters and huge numbers."
    logger.info("refused: %s", error.orig)
    return respond(request, 422, "invalid_request", detail)


def bug(request: Request, _: Exception) -> JSONResponse:
    detail = "An error of the service; its log has more under this request id."
    return respond(request, 500, "internal_error", detail)


HANDLERS: dict[int | type[Exception], Any] = {
    JobsError: refused,
    QuotaExceeded: quota_exceeded,
    RateLimited: rate_limited,
    NotAuthenticated: not_authenticated,
    ScopeMissing: scope_missing,
    OffsetMismatch: offset_mismatch,
    InvalidSpec: invalid_spec,
    RequestValidationError: invalid_request,
    BodyRefused: body_refused,
    HTTPException: http_error,
    DataError: not_storable,
    **dict.fromkeys(DATABASE_OUTAGES, store_down),
    Exception: bug,
}
