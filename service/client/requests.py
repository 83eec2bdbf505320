"""Requests as values, which the blocking and the asynchronous client share."""

import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from service.schemas.pages import Page

Answer = TypeVar("Answer")
Item = TypeVar("Item")
Model = TypeVar("Model", bound=BaseModel)

Value = str | int | float | bool | datetime | None
Query = Mapping[str, Value | Sequence[str]]

LONGEST_WAIT_SECONDS = 30  # of one request for news, which the service answers late
SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # idempotent methods of HTTP


@dataclass(frozen=True)
class Request(Generic[Answer]):
    """A request to send, and the function that reads its response."""

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    content: bytes | None = None
    seconds: float = 0.0  # how long the service may wait on purpose before it answers

    @property
    def repeatable(self) -> bool:
        """Return True if the request is safe to send again when it may have arrived already."""
        return self.method in SAFE or "Idempotency-Key" in self.headers

    @property
    def parameters(self) -> dict[str, str | list[str]]:
        return {
            name: value
            for name, given in self.query.items()
            if (value := _written(given)) is not None
        }


def _written(value: Value | Sequence[str]) -> str | list[str] | None:
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case int() | float():
            return str(value)
        case _:
            return list(value)


@dataclass(frozen=True)
class Listing(Generic[Item]):
    """A list that comes in pages. `limit` is the number of items to return; None means all."""

    path: str
    read: Callable[[httpx.Response], Page[Item]]
    query: Query = field(default_factory=dict)
    limit: int | None = None
    page_size: int | None = 200
    cursor: str | None = None

    def page(self, cursor: str | None, so_far: int) -> Request[Page[Item]]:
        size = self.page_size
        if size is not None and self.limit is not None:
            size = min(size, self.limit - so_far)
        query = {**self.query, "limit": size, "cursor": cursor}
        return Request("GET", self.path, self.read, query=query)


RequestSequence = Generator[Request[Any], Any, Answer]
"""Several requests, of which each may depend on the answers before it."""


def url_path(*parts: str) -> str:
    """Return the path of a route, such as `url_path("jobs", job_id, "cancel")`."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def idempotency_header() -> dict[str, str]:
    """Return an Idempotency-Key header: a request sent twice with it creates only one thing."""
    return {"Idempotency-Key": uuid.uuid4().hex}


def json_body(given: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body. A mapping is sent as it is, and the service reports its errors."""
    return given.model_dump(mode="json") if isinstance(given, BaseModel) else dict(given)


def changes_of(given: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON body like `json_body`, without the fields of a model that were not set."""
    if isinstance(given, BaseModel):
        return given.model_dump(mode="json", exclude_unset=True)
    return dict(given)


def model(kind: type[Model]) -> Callable[[httpx.Response], Model]:
    return lambda response: kind.model_validate_json(response.content)


def nothing(_: httpx.Response) -> None:
    return None


def text(response: httpx.Response) -> str:
    return response.content.decode(errors="replace")
