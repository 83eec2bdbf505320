"""Send requests, with retries: one class blocks, and one is for asyncio."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from service.client.errors import ApiError, InvalidConnection, Unreachable, error_of
from service.client.requests import Answer, Item, Listing, Request, RequestSequence
from service.client.retry import Outcome, Retry
from service.client.sse import SseStream, Subscription

DEFAULT_URL = "http://127.0.0.1:8000"


def _check_address(url: str) -> None:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    is_address = parts.scheme in {"http", "https"} and parts.host and (parts.port or 0) < 2**16
    if not is_address:
        raise InvalidConnection(f"{url!r} is not an address of a service, such as {DEFAULT_URL}")


@dataclass(frozen=True)
class Connection:
    """The address of the service, and the key, timeout and retries to use."""

    url: str
    headers: dict[str, str]
    timeout_seconds: float
    retry: Retry

    @classmethod
    def to(
        cls, url: str | None, *, api_key: str | None, timeout_seconds: float, retries: int
    ) -> "Connection":
        """Return the connection. The default URL and key come from RELORA_URL and RELORA_API_KEY.

        Raise `InvalidConnection` if the URL or the key is malformed.
        """
        url = url or os.environ.get("RELORA_URL") or DEFAULT_URL
        key = api_key or os.environ.get("RELORA_API_KEY")
        _check_address(url)
        if key and not (key.isascii() and key.isprintable()):
            raise InvalidConnection("the API key must be one line of ASCII characters")
        return cls(
            url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout_seconds=timeout_seconds,
            retry=Retry(retries),
        )

    @property
    def options(self) -> dict[str, Any]:
        """Return the options for the clients of httpx."""
        return {
            "base_url": self.url,
            "headers": self.headers,
            "timeout": self.timeout_seconds,
            "follow_redirects": True,  # to the object store; the API key is not sent there
        }

    def timeout(self, seconds: float) -> httpx.Timeout:
        """Return the timeout. `seconds` is how long the service may wait on purpose."""
        return httpx.Timeout(self.timeout_seconds, read=self.timeout_seconds + seconds)

    def pause(self, request: Request[Any], outcome: Outcome, tried: int) -> float:
        """Return the seconds until the request is sent again. Raise if it must not be."""
        delay = self.retry.delay(request, outcome, tried)
        if delay is not None:
            return delay
        raise error_of(outcome) if isinstance(outcome, httpx.Response) else self.silent(outcome)

    def silent(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"{self.url} does not answer: {str(error) or type(error).__name__}")


def _arguments(connection: Connection, request: Request[Any]) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "params": request.parameters,
        "headers": request.headers,
        "json": request.json,
        "content": request.content,
        "timeout": connection.timeout(request.seconds),
    }


class Transport:
    """A transport that blocks until the response is there. Several threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.Client(**connection.options)

    def close(self) -> None:
        self._http.close()

    def send(self, request: Request[Answer]) -> Answer:
        tried = 0
        while True:
            outcome = self._try(request)
            if isinstance(outcome, httpx.Response) and not outcome.is_error:
                return request.read(outcome)
            tried += 1
            time.sleep(self._connection.pause(request, outcome, tried))

    def _try(self, request: Request[Any]) -> Outcome:
        try:
            return self._http.request(**_arguments(self._connection, request))
        except httpx.TransportError as error:
            return error

    def answer(self, call: Request[Answer] | RequestSequence[Answer]) -> Answer:
        return self.send(call) if isinstance(call, Request) else self._run(call)

    def iterate(self, call: Listing[Item] | SseStream[Item]) -> Iterator[Item]:
        return self._pages(call) if isinstance(call, Listing) else self._listen(call)

    def _pages(self, listing: Listing[Item]) -> Iterator[Item]:
        cursor, seen = listing.cursor, 0
        while listing.limit is None or seen < listing.limit:
            page = self.send(listing.page(cursor, seen))
            yield from page.items
            seen, cursor = seen + len(page.items), page.next
            if cursor is None:
                return

    def _run(self, sequence: RequestSequence[Answer]) -> Answer:
        answer: Any = None
        try:
            while True:
                answer = self.send(sequence.send(answer))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # the value of a generator has no type

    def _listen(self, stream: SseStream[Item]) -> Iterator[Item]:
        subscription = Subscription(stream)
        while not subscription.over:
            error: ApiError | Unreachable | None = None
            try:
                with self.open(subscription.request()) as response:
                    subscription.begin(response.status_code)
                    for chunk in response.iter_bytes():
                        yield from subscription.receive(chunk)
            except (ApiError, Unreachable) as caught:
                error = caught
            time.sleep(subscription.pause(error))

    @contextmanager
    def open(self, request: Request[Any]) -> Iterator[httpx.Response]:
        """Yield the response before its content is read, for long content. There is no retry."""
        arguments = _arguments(self._connection, request)
        try:
            with self._http.stream(**arguments) as response:
                if response.is_error:
                    response.read()
                    raise error_of(response)
                yield response
        except httpx.TransportError as error:
            raise self._connection.silent(error) from error


class AsyncTransport:
    """The `Transport` for asyncio."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(**connection.options)

    async def close(self) -> None:
        await self._http.aclose()

    def blocking(self) -> Transport:
        """Return a blocking transport, for a thread that reads or writes files."""
        return Transport(self._connection)

    async def send(self, request: Request[Answer]) -> Answer:
        tried = 0
        while True:
            outcome = await self._try(request)
            if isinstance(outcome, httpx.Response) and not outcome.is_error:
                return request.read(outcome)
            tried += 1
            await asyncio.sleep(self._connection.pause(request, outcome, tried))

    async def _try(self, request: Request[Any]) -> Outcome:
        try:
            return await self._http.request(**_arguments(self._connection, request))
        except httpx.TransportError as error:
            return error

    async def answer(self, call: Request[Answer] | RequestSequence[Answer]) -> Answer:
        return await (self.send(call) if isinstance(call, Request) else self._run(call))

    def iterate(self, call: Listing[Item] | SseStream[Item]) -> AsyncIterator[Item]:
        return self._pages(call) if isinstance(call, Listing) else self._listen(call)

    async def _pages(self, listing: Listing[Item]) -> AsyncIterator[Item]:
        cursor, seen = listing.cursor, 0
        while listing.limit is None or seen < listing.limit:
            page = await self.send(listing.page(cursor, seen))
            for item in page.items:
                yield item
            seen, cursor = seen + len(page.items), page.next
            if cursor is None:
                return

    async def _run(self, sequence: RequestSequence[Answer]) -> Answer:
        answer: Any = None
        try:
            while True:
                answer = await self.send(sequence.send(answer))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # the value of a generator has no type

    async def _listen(self, stream: SseStream[Item]) -> AsyncIterator[Item]:
        subscription = Subscription(stream)
        while not subscription.over:
            error: ApiError | Unreachable | None = None
            try:
                async with self.open(subscription.request()) as response:
                    subscription.begin(response.status_code)
                    async for chunk in response.aiter_bytes():
                        for item in subscription.receive(chunk):
                            yield item
            except (ApiError, Unreachable) as caught:
                error = caught
            await asyncio.sleep(subscription.pause(error))

    @asynccontextmanager
    async def open(self, request: Request[Any]) -> AsyncIterator[httpx.Response]:
        """Yield the response before its content is read, for long content. There is no retry."""
        arguments = _arguments(self._connection, request)
        try:
            async with self._http.stream(**arguments) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                yield response
        except httpx.TransportError as error:
            raise self._connection.silent(error) from error
