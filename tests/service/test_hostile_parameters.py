"""Whatever stands in a query, a header or an address: it is answered, or refused in words."""

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.status import RequestedAction
from service.app import create_app
from service.auth.key_policy import KeyPolicy

HOSTILE = [
    "",
    "0",
    "-1",
    "1e9",
    "1_000",
    "0x10",
    "٣",
    "NaN",
    "Infinity",
    "null",
    "[]",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 5000,
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    "x" * 300,
    "x" * 9000,
    "é" * 2000,
    "\x00",
    "a\x00b",
    "\ud83d",
    "\u202e",
    "a\r\nX-Evil: 1",
    "../../etc/passwd",
    "' OR 1=1 --",
    "%",
    "\\",
    "*",
    "a=b=c",
    "bytes=0-",
    "bytes=-0",
    "bytes=5-1",
    "bytes=0-0,2-3",
    "bytes=" + "9" * 30 + "-",
    "bytes=" + "0-1," * 2000,
    "Bearer",
    "Bearer " + "x" * 9000,
]
# Which the service reads beside those that its description has.
HEADERS = [
    "X-Request-ID",
    "Authorization",
    "Content-Type",
    "Accept",
    "Cookie",
    "Origin",
    "Sec-Fetch-Site",
]
WORDS = {"title", "description", "default", "examples", "maximum"}  # of a schema


@dataclass(frozen=True)
class Place:
    """Where a value is written."""

    method: str
    path: str
    kind: str  # query, header or path
    name: str

    def url(self, value: str, job_id: str) -> str:
        written = quote(value.encode(errors="surrogatepass"), safe="")
        path = self.path.replace(f"{{{self.name}}}", written) if self.kind == "path" else self.path
        query = f"?{self.name}={written}" if self.kind == "query" else ""
        return path.replace("{job_id}", job_id) + query

    def headers(self, value: str) -> list[tuple[bytes, bytes]]:
        return [(self.name.encode(), value.encode())] if self.kind == "header" else []


def places(app: FastAPI) -> list[Place]:
    """One for all that are described alike, as the ids in addresses are."""
    found: dict[str, Place] = {name: Place("get", "/v1/jobs", "header", name) for name in HEADERS}
    for path, operations in app.openapi()["paths"].items():
        if path == "/v1/events":  # a stream without an end
            continue
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                kind, name = parameter["in"], parameter["name"]
                schema = sorted(
                    (key, str(parameter["schema"][key]))
                    for key in parameter["schema"].keys() - WORDS
                )
                found[f"{kind} {schema}"] = Place(method, path, kind, name)
    return list(found.values())


def in_a_header(value: str) -> bool:
    """Others do not reach the service: they end a head, or are no bytes."""
    return not set(value) & set("\x00\r\n\ud83d")


@pytest.fixture
def over(backends: Backends, job: Job) -> str:
    """The id of a job whose streams end at once."""
    return backends.store.request_action(job.id, RequestedAction.CANCEL).id


@pytest.mark.slow
def test_a_hostile_value_is_refused_wherever_it_stands(backends: Backends, over: str) -> None:
    app = create_app(backends, KeyPolicy.OPTIONAL)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    asked = places(app)

    async def wrong() -> list[str]:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [
                f"{place} {value[:80]!r}: {response.status_code} {response.text[:300]}"
                for place in asked
                for value in HOSTILE
                if place.kind != "header" or in_a_header(value)
                if not is_sound(response := await send(client, place, value))
            ]

    async def send(client: httpx.AsyncClient, place: Place, value: str) -> httpx.Response:
        url = place.url(value, over)
        return await client.request(place.method, url, headers=place.headers(value))

    assert {place.kind for place in asked} == {"query", "header", "path"}
    assert asyncio.run(wrong()) == []


def is_sound(response: httpx.Response) -> bool:
    """An answer, or a refusal that has the form of all and is short."""
    if response.status_code < 400:
        return True
    is_problem = response.headers["Content-Type"] == "application/problem+json"
    return response.status_code < 500 and is_problem and len(response.content) < 20_000
