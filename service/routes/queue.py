"""The queue of jobs, and the workers."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from jobs.schemas.queue import QueuedJob
from jobs.schemas.workers import Worker
from relora_core.spec import TextPattern
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import CURSOR, NEXT, BackendsDep, PageLimit, ProjectDep
from service.schemas.pages import Page
from service.schemas.responses import Queue

router = APIRouter(prefix="/v1", tags=["queue"], route_class=CallerRoute)


@router.get("/queue", summary="Show the queue", responses=documented(422))
def get_queue(
    project: ProjectDep,
    backends: BackendsDep,
    limit: PageLimit = 50,
    cursor: Annotated[
        Annotated[
            str,
            Field(max_length=MAX_NAME),
            TextPattern(r"^-?[0-9]{1,3}\.job_[0-9a-z]+$", NEXT),
        ]
        | None,
        Query(description=CURSOR),
    ] = None,
) -> Queue:
    """Return the queued jobs in the order in which workers take them, and job counts by status.

    The workers serve all projects, so jobs of other projects may be between two positions.
    """
    found = backends.waiting.list(project=project, limit=limit + 1, cursor=cursor)
    page = Page[QueuedJob].of(found, limit, cursor="cursor")
    return Queue(**dict(page), counts=backends.waiting.counts(project=project))


@router.get("/workers", summary="List workers")
def list_workers(project: ProjectDep, backends: BackendsDep) -> Page[Worker]:
    """Return the workers, busy or idle, that sent a heartbeat within the last minute, by name."""
    return Page[Worker](items=backends.workers.list(project=project), next=None)
