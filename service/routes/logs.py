"""The log of a job's trainer: all of it, its last lines, a part of it, or new lines live."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import WithJsonSchema

from jobs.schemas.body import MAX_SAFE_INTEGER
from relora_core.counted import counted
from service.auth.access import StaysAllowedDep
from service.http.byte_ranges import RangeNotSatisfiable, parse_range
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_HEADER
from service.routes.dependencies import BackendsDep, HubDep, Id
from service.routes.events import (
    EVENT_STREAM,
    QUIET_SECONDS,
    RETRY_MILLISECONDS,
    EventStream,
    while_allowed,
)
from service.streams.logs import Log, follow, open_log

router = APIRouter(prefix="/v1/jobs", tags=["logs"], route_class=CallerRoute)

TEXT = "text/plain; charset=utf-8"
UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class LogSelection:
    """The part of a log that a request asks for."""

    tail: Annotated[
        int | None, Query(ge=0, le=10_000, description="Only this many of the last lines.")
    ] = None
    follow: Annotated[bool, Query(description="Keep sending new lines.")] = False
    range: Annotated[
        str | None,
        Header(max_length=MAX_HEADER, description="A range of bytes; not with `follow`."),
    ] = None
    last_event_id: Annotated[
        int | None,
        Header(
            ge=0, le=MAX_SAFE_INTEGER, description="Of a stream that is resumed; wins over `tail`."
        ),
        WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER}),
    ] = None


@router.get(
    "/{job_id}/logs",
    summary="Read or follow the log of a job",
    response_class=Response,
    responses={
        200: {
            "description": "The log, or its last lines. A stream's frames have the offset of their"
            " end as `id` and lines as `data`; the last one is the event `end`.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                EVENT_STREAM: {"schema": {"type": "string"}},
            },
        },
        204: {"description": "A stream that has ended: do not connect again."},
        206: {"description": "The part asked for.", "content": {"text/plain": {}}},
        **documented(404, 416, 422, 502),
    },
)
def get_log(  # noqa: PLR0913 # FastAPI passes each part of the request
    job_id: Id,
    request: Request,
    backends: BackendsDep,
    hub: HubDep,
    part: Annotated[LogSelection, Depends()],
    stays_allowed: StaysAllowedDep,
    attempt: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Default: the last.")
    ] = None,
) -> Response:
    """Return what the trainer of an attempt printed, as text, with secrets masked.

    You get the whole log, its last lines (`tail`) or a range of bytes (`Range`). With
    `follow=true`, new lines follow until the attempt ends. With `Accept: text/event-stream`, the
    lines come as server-sent events, which resume by `Last-Event-ID`. While an attempt runs, only
    the last MiB of its log can be read.
    """
    log = open_log(backends, job_id, attempt)
    streams = EVENT_STREAM in request.headers.get("Accept", "")
    if not (streams or part.follow):
        return _text(log, part)
    start = log.start if part.tail is None else log.line_start(part.tail)
    if part.last_event_id is not None:
        start = part.last_event_id
        if log.is_whole and start >= log.end:
            return Response(status_code=204)
    news = follow(backends, log, start, lambda: hub.closed)
    lines, kind = (_frames(news), EVENT_STREAM) if streams else (_plain(news), TEXT)
    return EventStream(while_allowed(lines, stays_allowed), media_type=kind, headers=UNBUFFERED)


def _text(log: Log, part: LogSelection) -> Response:
    if part.tail is not None:
        return StreamingResponse(log.read(log.line_start(part.tail), log.end), media_type=TEXT)
    asked = _range(log, part.range)
    start, end = asked or (log.start, log.end)
    headers = {"Accept-Ranges": "bytes"}
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{log.end if log.is_whole else '*'}"
    return StreamingResponse(
        log.read(start, end), status_code=206 if asked else 200, media_type=TEXT, headers=headers
    )


def _range(log: Log, header: str | None) -> tuple[int, int] | None:
    try:
        asked = parse_range(header, log.end)
    except RangeNotSatisfiable:
        raise _unsatisfiable(log, f"The log has {counted(log.end, 'byte')} so far.") from None
    if asked and asked[0] < log.start:
        message = f"Bytes before {log.start} can be read once the attempt is over."
        raise _unsatisfiable(log, message)
    return asked


def _unsatisfiable(log: Log, message: str) -> HTTPException:
    return HTTPException(416, message, headers={"Content-Range": f"bytes */{log.end}"})


async def _plain(news: AsyncGenerator[tuple[int, bytes], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(news):
        async for _, text in news:
            if text:
                yield text


async def _frames(news: AsyncGenerator[tuple[int, bytes], None]) -> AsyncGenerator[bytes, None]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    end, quiet_since = 0, time.monotonic()
    async with aclosing(news):
        async for end, text in news:
            if text:
                data = text.decode(errors="replace").removesuffix("\n")
                yield format_sse_event(id=str(end), event="log", data_str=data)
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_SECONDS:
                yield KEEPALIVE_COMMENT
                quiet_since = time.monotonic()
    yield format_sse_event(id=str(end), event="end", data_str="")
