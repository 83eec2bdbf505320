"""Health checks: the process answers, and it can serve requests."""

from typing import cast

from fastapi import APIRouter, Request, Response

from service.monitoring.readiness import OK, Probes
from service.schemas.responses import Health, Readiness

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Check that the process answers")
async def healthz() -> Health:
    """Return 200 as long as the process answers, even if all its threads are busy."""
    return Health()


@router.get(
    "/readyz",
    summary="Check that requests can be served",
    responses={503: {"model": Readiness, "description": "No job store."}},
)
def readyz(request: Request, response: Response) -> Readiness:
    """Tell if requests can be served, and which part is down.

    Without the broker, jobs are accepted and wait to be sent. Without the storage, jobs are
    accepted and can be watched, but their files cannot be downloaded.
    """
    parts = cast(Probes, request.app.state.probes).check()
    if parts["store"] != OK:
        response.status_code = 503
        return Readiness(status="unready", **parts)
    all_well = set(parts.values()) == {OK}
    return Readiness(status="ready" if all_well else "degraded", **parts)
