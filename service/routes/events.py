"""The events of a job as pages of JSON or live, and the states of a project's jobs, live."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.types import Message, Send

from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.status import FINAL
from relora_core.spec import TextPattern
from relora_core.suggestions import no_such
from service.auth.access import StaysAllowed, StaysAllowedDep
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import (
    NEXT,
    HubDep,
    Id,
    ProjectDep,
    StateHubDep,
    StoreDep,
)
from service.routes.job_filters import FollowedDep
from service.schemas.responses import EventPage
from service.streams.events import EventHub
from service.streams.states import Followed, StateHub

logger = logging.getLogger(__name__)
router = APIRouter(prefix="/v1", tags=["events"], route_class=CallerRoute)

EVENT_STREAM = "text/event-stream"
RETRY_MILLISECONDS = 2000  # how long a client waits before it connects again
QUIET_SECONDS = 15.0  # after so long without an event, a comment keeps proxies from closing
STALLED_SECONDS = 30.0  # a client that reads nothing for so long is disconnected; it can resume
CHUNK_FRAMES = 100  # events sent at once, so that a client far behind takes little memory
EPOCH = datetime.fromtimestamp(0, UTC)
MAX_MILLISECONDS = 1 << 47  # in the year 6429, which datetime can still represent
EVENT_TYPES = sorted(event.model_fields["type"].default for event in get_args(AnyJobEvent))


def _known(event_type: str) -> str:
    if event_type not in EVENT_TYPES:
        raise ValueError(no_such("event type", event_type, EVENT_TYPES))
    return event_type


EventType = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": EVENT_TYPES})
]


LastEventId = Annotated[
    int | None,
    Header(ge=0, le=MAX_SAFE_INTEGER, description="Of a stream that is resumed; it wins."),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER}),
]


@dataclass(frozen=True)
class EventSelection:
    """The events that a request asks for."""

    after: int
    limit: int
    types: frozenset[str] | None


def _selection(
    after: Annotated[
        int, Query(ge=0, le=MAX_SAFE_INTEGER, description="Only events with a greater id.")
    ] = 0,
    cursor: Annotated[
        Annotated[str, Field(max_length=18), TextPattern(r"^\d{1,18}$", NEXT)] | None,
        Query(description="The `next` of the page before; wins over `after`."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a JSON page.")] = 500,
    type: Annotated[  # noqa: A002 # the parameter's name
        list[EventType] | None, Query(max_length=100, description="Only these types.")
    ] = None,
    last_event_id: LastEventId = None,
) -> EventSelection:
    if cursor is not None:
        after = int(cursor)
    return EventSelection(
        after=after if last_event_id is None else last_event_id,
        limit=limit,
        types=frozenset(type) if type else None,
    )


@router.get(
    "/jobs/{job_id}/events",
    summary="Read or stream the events of a job",
    response_model=EventPage,
    responses={
        200: {
            "description": "A page, or a stream whose frames have the event's `id`, its type as "
            "`event` and the event itself, as in a page, as `data`.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        204: {"description": "A stream that has ended: do not connect again."},
        **documented(404, 422),
    },
)
def get_events(
    job_id: Id,
    request: Request,
    selection: Annotated[EventSelection, Depends(_selection)],
    store: StoreDep,
    hub: HubDep,
    stays_allowed: StaysAllowedDep,
) -> Response:
    """Return a page of events or, with `Accept: text/event-stream`, stream them as they happen.

    The stream ends with the job's last event. To resume it, send the id of the last event that
    you received as `Last-Event-ID`.
    """
    after, limit = selection.after, selection.limit
    if EVENT_STREAM not in request.headers.get("Accept", ""):
        found = store.events(job_id, after=after, limit=limit + 1, types=selection.types)
        page = EventPage.of(found, limit)
        # FastAPI would write a loss that is not finite as null.
        return Response(page.model_dump_json(), media_type="application/json")
    if store.get(job_id).status in FINAL and not store.events(
        job_id, after=after, limit=1, types=selection.types
    ):
        return Response(status_code=204)
    return _live(while_allowed(_lines(hub, job_id, after, selection.types), stays_allowed))


@router.get(
    "/events",
    summary="Stream the states of the jobs",
    response_class=Response,
    responses={
        200: {
            "description": "A stream. `job.changed` has a job without its spec, and `job.deleted` "
            "has the id of a job.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **documented(422),
    },
)
def get_states(
    project: ProjectDep,
    wanted: FollowedDep,
    hub: StateHubDep,
    stays_allowed: StaysAllowedDep,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream each change of the project's jobs, or of some of them, as server-sent events.

    The stream begins with all jobs that are not over, as they are now, and never ends. A job that
    changes several times within a moment is sent once, as it is then. To resume the stream, send
    the last id that you received as `Last-Event-ID`: then the stream also begins with the jobs
    that were over since. A state may come twice.
    """
    since = datetime.now(UTC)
    if last_event_id is not None:
        since = min(since, EPOCH + timedelta(milliseconds=min(last_event_id, MAX_MILLISECONDS)))
    return _live(while_allowed(_states(hub, Followed(project, wanted), since), stays_allowed))


def _live(lines: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return EventStream(lines, media_type=EVENT_STREAM, headers=headers)


class EventStream(StreamingResponse):
    """A stream that disconnects a client that reads nothing for `STALLED_SECONDS`.

    The client can resume by `Last-Event-ID`.
    """

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STALLED_SECONDS):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            logger.info("a listener took nothing for %.0f s and is let go", STALLED_SECONDS)


async def while_allowed(
    lines: AsyncGenerator[bytes, None], stays_allowed: StaysAllowed
) -> AsyncIterator[bytes]:
    """Yield the lines until the reader's API key is revoked or expires."""
    async with aclosing(lines):
        async for line in lines:
            if not await stays_allowed():
                return
            yield line


async def _lines(
    hub: EventHub, job_id: str, after: int, types: frozenset[str] | None
) -> AsyncGenerator[bytes, None]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async with aclosing(hub.listen(job_id, after=after, quiet_seconds=QUIET_SECONDS)) as batches:
        async for frames in batches:
            if not frames:
                yield KEEPALIVE_COMMENT
            chosen = [frame.data for frame in frames if types is None or frame.type in types]
            for start in range(0, len(chosen), CHUNK_FRAMES):
                yield b"".join(chosen[start : start + CHUNK_FRAMES])


async def _states(
    hub: StateHub, followed: Followed, since: datetime
) -> AsyncGenerator[bytes, None]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async with aclosing(hub.listen(followed, since=since, quiet_seconds=QUIET_SECONDS)) as batches:
        async for frames in batches:
            yield b"".join(frames) if frames else KEEPALIVE_COMMENT
