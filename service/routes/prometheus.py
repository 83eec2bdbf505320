"""Metrics for Prometheus."""

from typing import cast

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from jobs.schemas.keys import Scope
from service.auth.access import CallerDep
from service.http.caller_route import CallerRoute
from service.monitoring.prometheus import HttpLatency, JobFigures, ServiceFigures, exposition
from service.routes.dependencies import BackendsDep, HubDep, StateHubDep

router = APIRouter(tags=["health"], route_class=CallerRoute)


@router.get(
    "/metrics",
    summary="Scrape metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_prometheus_metrics(
    request: Request,
    backends: BackendsDep,
    caller: CallerDep,
    hub: HubDep,
    state_hub: StateHubDep,
) -> Response:
    """Return metrics as text: jobs by status and jobs leased by workers.

    An operator's key shows the jobs of all projects, and also unsent messages, uploads and HTTP
    latency. Any other key shows the jobs of its own project alone.
    """
    lease_seconds = backends.settings.lease_seconds
    if not caller.scope.includes(Scope.OPERATOR):
        text = exposition(JobFigures(backends.stats.of_jobs(caller.project), lease_seconds))
    else:
        latency = cast(HttpLatency, request.app.state.latency)
        text = exposition(
            JobFigures(backends.stats.of_jobs(), lease_seconds),
            ServiceFigures(backends.stats.of_service(), hub.listeners + state_hub.listeners),
            latency.seconds,
        )
    return Response(text, media_type=CONTENT_TYPE_LATEST)
