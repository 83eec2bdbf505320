"""The OpenAPI document: FastAPI's, with the real error responses and use of API keys."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.auth.key_policy import KeyPolicy
from service.schemas.responses import PROBLEM

DESCRIPTION = (
    "Submit a job, follow its loss and its restarts, download a merged model. Lists are pages: "
    "give `next` as `cursor`. Unknown fields and query parameters are refused. Every error is a "
    "problem document (RFC 9457) with a stable `code`."
)
SCHEMAS = "#/components/schemas/"
ERRORS = {SCHEMAS + "Problem", SCHEMAS + "HTTPValidationError"}
OF_EVERY_ROUTE = (422, 500, 503)  # an unknown query parameter, a bug, a job store that is down
OF_JSON_BODIES = (400, 413)
EXAMPLES = {
    400: ("malformed_body", "The body is not JSON: Expecting value at character 0."),
    401: ("key_required", "This needs an API key, as the header `Authorization: Bearer rlk_...`."),
    403: ("scope_missing", "This needs a key with the scope `write`; yours has `read`."),
    404: ("job_not_found", "There is no job 'job_06c47j38fnjz6besfkfpgrk2wv'."),
    409: (
        "illegal_transition",
        "Job job_06c47j38fnjz6besfkfpgrk2wv is queued; it cannot be resumed.",
    ),
    412: ("unsupported_tus_version", "Uploads speak tus 1.0.0: send `Tus-Resumable: 1.0.0`."),
    413: ("body_too_large", "The body is over the limit of 524,288 bytes."),
    415: ("unsupported_media_type", "Send the spec as JSON, with Content-Type: application/json."),
    416: ("range_not_satisfiable", "The file has 1024 bytes."),
    422: ("invalid_request", "The request was not accepted."),
    429: ("rate_limited", "Too many requests; try again in 2 seconds."),
    500: ("internal_error", "An error of the service; its log has more under this request id."),
    502: ("storage_failed", "The storage does not answer."),
    503: ("store_unavailable", "The job store does not answer; try again in a moment."),
}
ERROR_HEADERS = {401: "WWW-Authenticate", 405: "Allow", 412: "Tus-Version", 429: "Retry-After"}


def customize_openapi(app: FastAPI, policy: KeyPolicy) -> None:
    """Make OpenAPI describe every error as a problem document (RFC 9457).

    API keys are described only if the service requires them.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, policy)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this way


def _described(app: FastAPI, policy: KeyPolicy) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        summary=app.summary,
        description=DESCRIPTION,
        version=app.version,
        routes=app.routes,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _without_null(parameter["schema"])
        _describe_errors(operation)
    document["components"]["responses"] = {_name(status): _problem(status) for status in EXAMPLES}
    if policy is not KeyPolicy.REQUIRED:
        _without_keys(document)
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return document


def _without_keys(document: dict[str, Any]) -> None:
    """Remove the API keys, so that `/docs` shows no locks and no button for a key."""
    for operation in _operations(document):
        operation.pop("security", None)
    document["components"].pop("securitySchemes")


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null: a parameter can be left out, but a query or header has no null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **kinds[0]}


def _describe_errors(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in OF_EVERY_ROUTE if "security" in operation else (422, 500):
        responses.setdefault(str(status), _PLAIN)
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        for status in OF_JSON_BODIES:
            responses.setdefault(str(status), _PLAIN)
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if schema.get("$ref") in ERRORS:
            responses[status] = {"$ref": f"#/components/responses/{_name(int(status))}"}
    operation["responses"] = dict(sorted(responses.items()))


_PLAIN = {"content": {"application/json": {"schema": {"$ref": SCHEMAS + "Problem"}}}}


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int) -> dict[str, Any]:
    code, detail = EXAMPLES[status]
    title = HTTPStatus(status).phrase
    example = {
        "type": f"urn:relora:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "068QP5d0fH7s1nTz",
    }
    headers = {"X-Request-ID": {"schema": {"type": "string"}}}
    if status in ERROR_HEADERS:
        headers[ERROR_HEADERS[status]] = {"schema": {"type": "string"}}
    return {
        "description": title,
        "headers": headers,
        "content": {PROBLEM: {"schema": {"$ref": SCHEMAS + "Problem"}, "example": example}},
    }
