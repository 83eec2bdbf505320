"""A job's events: as pages of JSON, or as they happen (server-sent events)."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import AfterValidator, WithJsonSchema

from jobs.events import AnyJobEvent
from jobs.status import FINAL
from relora_core.events import to_line
from service.dependencies import HubDep, StoreDep
from service.errors import documented
from service.responses import EventPage
from service.stream import EventHub

router = APIRouter(prefix="/v1/jobs", tags=["events"])

EVENT_STREAM = "text/event-stream"
RETRY_MILLISECONDS = 2000  # how long a client waits before it connects again
QUIET_SECONDS = 15.0  # without an event, until a comment keeps proxies from closing
EVENT_TYPES = sorted(event.model_fields["type"].default for event in get_args(AnyJobEvent))


def _known(event_type: str) -> str:
    if event_type not in EVENT_TYPES:
        raise ValueError(f"no event type {event_type!r}; there are {', '.join(EVENT_TYPES)}")
    return event_type


EventType = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": EVENT_TYPES})
]


@dataclass(frozen=True)
class Selection:
    """Which events are asked for."""

    after: int
    limit: int
    types: frozenset[str] | None


def _selection(
    after: Annotated[int, Query(ge=0, description="Only events with a greater id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a JSON page.")] = 500,
    type: Annotated[list[EventType] | None, Query(description="Only these types.")] = None,  # noqa: A002 # the parameter's name
    last_event_id: Annotated[int | None, Header(ge=0, description="Wins over `after`.")] = None,
) -> Selection:
    return Selection(
        after=after if last_event_id is None else last_event_id,
        limit=limit,
        types=frozenset(type) if type else None,
    )


@router.get(
    "/{job_id}/events",
    response_model=EventPage,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        204: {"description": "A stream that has ended: do not connect again."},
        **documented(404, 422),
    },
)
def get_events(
    job_id: str,
    request: Request,
    selection: Annotated[Selection, Depends(_selection)],
    store: StoreDep,
    hub: HubDep,
) -> Response:
    """A page of JSON or, with `Accept: text/event-stream`, a stream to the job's last event.

    The stream resumes from `Last-Event-ID`, the id of the last event that was seen.
    """
    after, limit = selection.after, selection.limit
    if EVENT_STREAM not in request.headers.get("Accept", ""):
        events = store.events(job_id, after=after, limit=limit, types=selection.types)
        page = EventPage(items=events, next=events[-1].id if len(events) == limit else None)
        # Not by FastAPI, which writes a loss that is not finite as null.
        return Response(page.model_dump_json(), media_type="application/json")
    if store.get(job_id).status in FINAL and not store.events(job_id, after=after, limit=1):
        return Response(status_code=204)
    return StreamingResponse(
        _lines(hub, job_id, after, selection.types),
        media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _lines(
    hub: EventHub, job_id: str, after: int, types: frozenset[str] | None
) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async with aclosing(hub.listen(job_id, after=after, quiet_seconds=QUIET_SECONDS)) as batches:
        async for events in batches:
            if not events:
                yield KEEPALIVE_COMMENT
            for event in events:
                if types is None or event.type in types:
                    yield format_sse_event(
                        id=str(event.id), event=event.type, data_str=to_line(event)
                    )
