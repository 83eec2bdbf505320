"""Decorators that turn the description of a route into a method of both clients.

A route is described once, by a method that returns a request:

    class Jobs(Group[AnyTransport]):
        @endpoint
        def get(self, job_id: str) -> Request[Job]: ...

For a `Client`, `client.jobs.get` takes an id and returns a `Job`. For an `AsyncClient`, it returns
an awaitable `Job`. Type checkers know both types.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from service.client.requests import Answer, Item, Listing, Request, RequestSequence
from service.client.sse import SseStream
from service.client.transport import AsyncTransport, Transport

P = ParamSpec("P")
AnyTransport = TypeVar("AnyTransport", bound=Transport | AsyncTransport, covariant=True)


class Group(Generic[AnyTransport]):
    """The routes of one subject, over one transport."""

    def __init__(self, transport: AnyTransport) -> None:
        self._transport = transport

    @property
    def transport(self) -> AnyTransport:
        return self._transport


class _Call(ABC, Generic[P, Answer]):
    """A method with one result: for an `AsyncClient`, an awaitable one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, group: Group[Transport], owner: object = None) -> Callable[P, Answer]: ...
    @overload
    def __get__(
        self, group: Group[AsyncTransport], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, group: Group[Any] | None, owner: object = None) -> Any:
        return self if group is None else self._bind(group)

    @abstractmethod
    def _bind(self, group: Group[Any]) -> Callable[..., Any]: ...


class endpoint(_Call[P, Answer]):  # noqa: N801 # a decorator
    """A decorator for one request, or several dependent requests, with one result."""

    def __init__(
        self,
        describe: Callable[Concatenate[Any, P], Request[Answer] | RequestSequence[Answer]],
    ) -> None:
        super().__init__(describe)

    def _bind(self, group: Group[Any]) -> Callable[..., Any]:
        return _call(group, self._function, group.transport.answer)


class blocking_endpoint(_Call[P, Answer]):  # noqa: N801 # a decorator
    """A decorator for a method that reads or writes files, and so blocks.

    An `AsyncClient` runs it in a thread. The decorated method takes a `Transport` as its first
    argument, which its callers do not pass.
    """

    def __init__(self, work: Callable[Concatenate[Any, Transport, P], Answer]) -> None:
        super().__init__(work)

    def _bind(self, group: Group[Any]) -> Callable[..., Any]:
        transport, work = group.transport, partial(self._function, group)
        if isinstance(transport, Transport):
            return update_wrapper(partial(work, transport), self._function)
        return update_wrapper(partial(_in_a_thread, transport, work), self._function)


class iterable_endpoint(Generic[P, Item]):  # noqa: N801 # a decorator
    """A decorator for the items of a list with pages, or of a stream that reconnects."""

    def __init__(
        self, describe: Callable[Concatenate[Any, P], Listing[Item] | SseStream[Item]]
    ) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(
        self, group: Group[Transport], owner: object = None
    ) -> Callable[P, Iterator[Item]]: ...
    @overload
    def __get__(
        self, group: Group[AsyncTransport], owner: object = None
    ) -> Callable[P, AsyncIterator[Item]]: ...
    def __get__(self, group: Group[Any] | None, owner: object = None) -> Any:
        return self if group is None else _call(group, self._describe, group.transport.iterate)


def _call(
    group: Group[Any], describe: Callable[..., Any], send: Callable[[Any], Any]
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return send(describe(group, *args, **kwargs))

    return update_wrapper(call, describe)


async def _in_a_thread(
    transport: AsyncTransport, work: Callable[..., Answer], *args: Any, **kwargs: Any
) -> Answer:
    blocking = transport.blocking()
    try:
        return await asyncio.to_thread(work, blocking, *args, **kwargs)
    finally:  # if the task is cancelled, the thread has no connection anymore and ends
        blocking.close()
