"""Whether the process lives, and whether it can work."""

import logging
from collections.abc import Callable

from fastapi import APIRouter, Response

from service.dependencies import BackendsDep
from service.responses import Health, Readiness

logger = logging.getLogger(__name__)
router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "No job store."}})
def readyz(backends: BackendsDep, response: Response) -> Readiness:
    """Whether requests can be served; without the broker they can, and jobs wait to be sent."""
    store, broker = _check(backends.store.ping), _check(backends.queue.ping)
    if store != "ok":
        response.status_code = 503
        return Readiness(status="unready", store=store, broker=broker)
    return Readiness(status="ready" if broker == "ok" else "degraded", store=store, broker=broker)


def _check(ping: Callable[[], None]) -> str:
    try:
        ping()
    except Exception as error:  # any failure of a part is the answer
        logger.warning("a part is down: %s", error)
        return f"down: {type(error).__name__}"
    return "ok"
