"""The API's description of itself: FastAPI's, with errors and keys as they really are."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.key_policy import KeyPolicy
from service.responses import PROBLEM

SCHEMAS = "#/components/schemas/"
ERRORS = {SCHEMAS + "Problem", SCHEMAS + "HTTPValidationError"}


def describe_truly(app: FastAPI, policy: KeyPolicy) -> None:
    """Let every error be described as the problem document that it is (RFC 9457), and a key as
    optional where it is."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, policy)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI says to extend it


def _described(app: FastAPI, policy: KeyPolicy) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, summary=app.summary, version=app.version, routes=app.routes
    )
    for operations in document["paths"].values():
        for operation in operations.values():
            if policy is not KeyPolicy.REQUIRED and "security" in operation:
                operation["security"].append({})  # or nothing
            for response in operation["responses"].values():
                schema = response.get("content", {}).get("application/json", {}).get("schema", {})
                if schema.get("$ref") in ERRORS:
                    response["content"] = {PROBLEM: {"schema": {"$ref": SCHEMAS + "Problem"}}}
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return document
