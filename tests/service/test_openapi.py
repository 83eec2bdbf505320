"""The OpenAPI document, and that `python -m service.openapi` prints it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from service.app import FOR_CALLERS

LISTED = {"get", "head", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def operations(openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in openapi["paths"].items()
        for method, operation in item.items()
        if method in LISTED
    }


@pytest.mark.slow
@pytest.mark.integration
def test_the_module_prints_the_document(openapi: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "service.openapi"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == openapi


def test_every_route_is_described(
    openapi: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    assert openapi["openapi"].startswith("3.1")
    served = {
        route.path.replace(":path}", "}")  # type: ignore[attr-defined] # an APIRoute
        for router in FOR_CALLERS
        for route in router.routes
    }
    assert served <= openapi["paths"].keys()
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


def test_a_key_is_needed_everywhere_but_to_ask_how_the_process_is(
    operations: dict[str, dict[str, Any]],
) -> None:
    open_to_all = {name for name, operation in operations.items() if "security" not in operation}
    assert open_to_all == {"GET /healthz", "GET /readyz"}


def test_every_error_is_a_problem_with_an_example(
    openapi: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    shared = openapi["components"]["responses"]
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status >= "400" and (name, status) != ("GET /readyz", "503"):
                problem = shared[response["$ref"].removeprefix("#/components/responses/")]
                [(media_type, content)] = problem["content"].items()
                assert media_type == "application/problem+json", (name, status)
                assert content["example"]["status"] == int(status)
                assert "X-Request-ID" in problem["headers"]


def test_a_parameter_that_may_be_left_out_is_never_null(
    operations: dict[str, dict[str, Any]],
) -> None:
    for name, operation in operations.items():
        for parameter in operation.get("parameters", ()):
            assert "null" not in json.dumps(parameter["schema"]), (name, parameter)


def test_every_body_of_a_request_has_an_example(
    openapi: dict[str, Any], operations: dict[str, dict[str, Any]]
) -> None:
    for name, operation in operations.items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None and "examples" not in body:
            schema = openapi["components"]["schemas"][body["schema"]["$ref"].split("/")[-1]]
            assert "example" in schema, name
