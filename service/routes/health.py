"""Whether the process lives, and whether it can work."""

from typing import cast

from fastapi import APIRouter, Request, Response

from service.monitoring.readiness import OK, Probes
from service.schemas.responses import Health, Readiness

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Check that the process answers")
async def healthz() -> Health:
    """The process answers, however busy its threads are."""
    return Health()


@router.get(
    "/readyz",
    summary="Check that requests can be served",
    responses={503: {"model": Readiness, "description": "No job store."}},
)
def readyz(request: Request, response: Response) -> Readiness:
    """Whether requests can be served, and which part is down.

    Without the broker, jobs are accepted, and wait to be sent; without the storage, they are
    accepted and can be watched, but their files cannot be downloaded.
    """
    parts = cast(Probes, request.app.state.probes).check()
    if parts["store"] != OK:
        response.status_code = 503
        return Readiness(status="unready", **parts)
    all_well = set(parts.values()) == {OK}
    return Readiness(status="ready" if all_well else "degraded", **parts)
