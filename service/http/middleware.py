"""ASGI middleware: request ids, the rules of tus, HEAD requests and limits of the body."""

import asyncio
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relora_core.counted import counted
from service.schemas import tus

UPLOADS = re.compile(r"/v1/datasets(/[^/]+)?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestId:
    """Set X-Request-ID of the response: that of the request, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        await self.app(scope, receive, _with_header(send, "X-Request-ID", request_id))


class Tus:
    """Apply the rules of tus 1.0 to each request and response of an upload.

    X-HTTP-Method-Override can replace the method POST. Each response, also an error, has the
    version of tus.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and UPLOADS.fullmatch(scope["path"]):
            method = Headers(scope=scope).get("X-HTTP-Method-Override")
            if scope["method"] == "POST" and method in {"PATCH", "DELETE"}:
                scope["method"] = method
            send = _with_header(send, tus.RESUMABLE, tus.VERSION)
        await self.app(scope, receive, send)


def _with_header(send: Send, name: str, value: str) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[name] = value
        await send(message)

    return send_with_header


class HeadAsGet:
    """Answer HEAD like GET, without the body (RFC 9110)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        state = {**scope.get("state", {}), "head": True}
        await self.app({**scope, "method": "GET", "state": state}, receive, send_head)


class BodyLimit:
    """Refuse a body of more than `limit` bytes or one that needs more than `seconds` to arrive.

    The limit holds also if the request does not declare its length. The body of an upload may
    have any size; it ends if no bytes arrive for `seconds`.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            limited = receive
        elif scope["method"] == "PATCH" and UPLOADS.fullmatch(scope["path"]):
            limited = self._without_pause(receive)
        else:
            limited = self._within_limits(receive)
        await self.app(scope, limited, send)

    def _without_pause(self, receive: Receive) -> Receive:
        async def receive_in_time() -> Message:
            try:
                return await asyncio.wait_for(receive(), self.seconds)
            except TimeoutError:
                return {"type": "http.disconnect"}  # the bytes that arrived are kept

        return receive_in_time

    def _within_limits(self, receive: Receive) -> Receive:
        received, is_whole = 0, False
        until = time.monotonic() + self.seconds

        async def receive_within_limits() -> Message:
            nonlocal received, is_whole
            if is_whole:  # only the end of the connection can follow
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), until - time.monotonic())
            except TimeoutError:
                late = f"The body did not come within {self.seconds:g} s."
                raise HTTPException(408, late, {"Connection": "close"}) from None
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > self.limit:
                raise HTTPException(
                    413, f"The body is over the limit of {counted(self.limit, 'byte')}."
                )
            return message

        return receive_within_limits
