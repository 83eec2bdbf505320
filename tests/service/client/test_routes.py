"""What the clients ask for is what the API has."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from service.client import Client
from service.client.calls import Group, endpoint, iterable_endpoint
from service.client.requests import Listing, Request

GIVEN: dict[str, Any] = {"spec": {}, "new": {}, "sweep": {}, "quotas": {}}


class Recorder:
    """A transport that sends nothing."""

    def __init__(self) -> None:
        self.requests: list[Request[Any]] = []

    def answer(self, call: Any) -> None:
        self.requests.append(call if isinstance(call, Request) else next(call))

    def iterate(self, call: Any) -> None:
        self.requests.append(
            call.page(None, 0) if isinstance(call, Listing) else Request("GET", call.path, repr)
        )


def required(call: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(call).parameters
    return [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and name != "self"
    ]


def all_requests() -> list[Request[Any]]:
    recorder = Recorder()
    with Client("http://nowhere") as client:
        groups = [group for group in vars(client).values() if isinstance(group, Group)]
    for group in groups:
        for name, method in vars(type(group)).items():
            if isinstance(method, endpoint | iterable_endpoint):
                call = getattr(type(group)(recorder), name)
                call(**{one: GIVEN.get(one, "x") for one in required(call)})
    return recorder.requests


def test_every_request_has_its_route_and_its_parameters(openapi: dict[str, Any]) -> None:
    for request in all_requests():
        operations = [
            operations[request.method.lower()]
            for path, operations in openapi["paths"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path)
            and request.method.lower() in operations
        ]
        assert operations, (request.method, request.path)
        known = {one["name"] for one in operations[0].get("parameters", [])}
        assert request.parameters.keys() | request.headers.keys() <= known | {"Accept"}
