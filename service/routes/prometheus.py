"""Metrics for Prometheus."""

from typing import cast

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from jobs.schemas.keys import Scope
from service.auth.access import CallerDep
from service.http.caller_route import CallerRoute
from service.monitoring.prometheus import HttpLatency, JobFigures, exposition
from service.routes.dependencies import BackendsDep

router = APIRouter(tags=["health"], route_class=CallerRoute)


@router.get(
    "/metrics",
    summary="Scrape metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_prometheus_metrics(request: Request, backends: BackendsDep, caller: CallerDep) -> Response:
    """Return jobs by status, jobs leased by workers, uploads and HTTP latency as text.

    An operator's key shows the jobs of all projects, any other key those of its own project.
    """
    everyone = caller.scope.includes(Scope.OPERATOR)
    stats = backends.stats.read(None if everyone else caller.project)
    latency = cast(HttpLatency, request.app.state.latency)
    figures = JobFigures(stats, backends.settings.lease_seconds)
    return Response(exposition(figures, latency), media_type=CONTENT_TYPE_LATEST)
