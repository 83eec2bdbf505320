"""A route is described once, as a method that gives a request; each client makes it a call.

    class Jobs(Group[AnyTransport]):
        @answered
        def get(self, job_id: str) -> Request[Job]: ...

Of a `Client`, `client.jobs.get` takes an id and gives a `Job`; of an `AsyncClient`, it gives an
awaitable one. Type checkers know both.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from service.client.feed import Feed
from service.client.requests import Answer, Item, Listing, Request, Steps
from service.client.transport import AsyncTransport, Transport

P = ParamSpec("P")
AnyTransport = TypeVar("AnyTransport", bound=Transport | AsyncTransport, covariant=True)


class Group(Generic[AnyTransport]):
    """Routes of one subject, over one transport."""

    def __init__(self, transport: AnyTransport) -> None:
        self._transport = transport

    @property
    def transport(self) -> AnyTransport:
        return self._transport


class answered(Generic[P, Answer]):  # noqa: N801 # a decorator
    """A request, or several that depend on each other, with one answer."""

    def __init__(
        self, describe: Callable[Concatenate[Any, P], Request[Answer] | Steps[Answer]]
    ) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: Group[Transport], owner: object = None) -> Callable[P, Answer]: ...
    @overload
    def __get__(
        self, group: Group[AsyncTransport], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, group: Group[Any] | None, owner: object = None) -> Any:
        return self if group is None else _call(group, self._describe, group.transport.answer)


class iterated(Generic[P, Item]):  # noqa: N801 # a decorator
    """The items of a list, page by page, or of a stream, over as many connections as it takes."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Listing[Item] | Feed[Item]]) -> None:
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


class threaded(Generic[P, Answer]):  # noqa: N801 # a decorator
    """Reads or writes files, and so blocks: for an `AsyncClient` in a thread of its own.

    What it decorates takes a `Transport` first, which its callers do not see.
    """

    def __init__(self, work: Callable[Concatenate[Any, Transport, P], Answer]) -> None:
        self._work = work
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, group: Group[Transport], owner: object = None) -> Callable[P, Answer]: ...
    @overload
    def __get__(
        self, group: Group[AsyncTransport], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, group: Group[Any] | None, owner: object = None) -> Any:
        if group is None:
            return self
        transport, work = group.transport, partial(self._work, group)
        if isinstance(transport, Transport):
            return update_wrapper(partial(work, transport), self._work)
        return update_wrapper(partial(_in_a_thread, transport, work), self._work)


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
    finally:  # when the task is cancelled, the thread finds no connection and ends
        blocking.close()
