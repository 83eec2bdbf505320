"""What waits, and who works."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from relora_core.spec import TextPattern
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import NEXT, BackendsDep, PageLimit, ProjectDep
from service.schemas.responses import Queue, WorkerPage

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
        Query(description="The `next` of the page before."),
    ] = None,
) -> Queue:
    """The jobs that wait, in the order in which workers take them, and the count of each status.

    The workers serve all projects: between two positions there may be jobs of others.
    """
    items = backends.waiting.list(project=project, limit=limit, cursor=cursor)
    return Queue(
        items=items,
        next=items[-1].cursor if len(items) == limit else None,
        counts=backends.waiting.counts(project=project),
    )


@router.get("/workers", summary="List workers")
def list_workers(project: ProjectDep, backends: BackendsDep) -> WorkerPage:
    """The workers that gave a sign of life within the last minute, busy or idle, by name."""
    return WorkerPage(items=backends.workers.list(project=project))
