"""The API's description of itself: FastAPI's, with the errors as they really are."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.responses import PROBLEM


def describe_errors(app: FastAPI) -> None:
    """Let every error be described as the problem document that it is (RFC 9457)."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI says to extend it


def _described(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, summary=app.summary, version=app.version, routes=app.routes
    )
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400" and "application/json" in response.get("content", {}):
                    response["content"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return document
