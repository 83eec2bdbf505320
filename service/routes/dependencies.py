"""The FastAPI dependencies that routes name in their signatures."""

from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from jobs.backends import Backends
from jobs.metrics.store import MetricStore
from jobs.store.jobs import JobStore
from service.auth.access import CallerDep
from service.background.dispatcher import Dispatcher
from service.background.webhook_sender import WebhookSender
from service.http.limits import MAX_NAME
from service.streams.events import EventHub
from service.streams.states import StateHub


def _backends(request: Request) -> Backends:
    return cast(Backends, request.app.state.backends)


def _store(request: Request) -> JobStore:
    return _backends(request).store


def _metrics(request: Request) -> MetricStore:
    return _backends(request).metrics


def _dispatcher(request: Request) -> Dispatcher:
    return cast(Dispatcher, request.app.state.dispatcher)


def _webhook_sender(request: Request) -> WebhookSender:
    return cast(WebhookSender, request.app.state.webhook_sender)


def _hub(request: Request) -> EventHub:
    return cast(EventHub, request.app.state.hub)


def _state_hub(request: Request) -> StateHub:
    return cast(StateHub, request.app.state.state_hub)


def _project(caller: CallerDep) -> str:
    return caller.project


async def refuse_unknown_query(request: Request) -> None:
    """Raise `RequestValidationError` if the route does not know a query parameter.

    Otherwise a misspelled filter would return the whole list.
    """
    route = cast(APIRoute, request.scope["route"])
    known = set(_query_parameters(route.dependant))
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        choices = f"; there are {', '.join(sorted(known))}" if known else "; it takes none"
        raise RequestValidationError(
            [
                {"type": "unknown_parameter", "loc": ("query", name), "msg": f"unknown{choices}"}
                for name in unknown
            ]
        )


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        yield parameter.alias
    for part in dependant.dependencies:
        yield from _query_parameters(part)


NEXT = "the `next` of the page before"  # says in an error what a cursor must be
CURSOR = "The `next` of the page before."

BackendsDep = Annotated[Backends, Depends(_backends)]
StoreDep = Annotated[JobStore, Depends(_store)]
MetricsDep = Annotated[MetricStore, Depends(_metrics)]
DispatcherDep = Annotated[Dispatcher, Depends(_dispatcher)]
WebhookSenderDep = Annotated[WebhookSender, Depends(_webhook_sender)]
HubDep = Annotated[EventHub, Depends(_hub)]
StateHubDep = Annotated[StateHub, Depends(_state_hub)]
Id = Annotated[str, Path(max_length=MAX_NAME)]
Cursor = Annotated[str | None, Query(max_length=MAX_NAME, description=CURSOR)]
PageLimit = Annotated[int, Query(ge=1, le=200)]
ProjectDep = Annotated[str, Depends(_project)]
