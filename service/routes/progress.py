"""The progress of a job: now, or as soon as it has changed."""

from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.job import Progress
from jobs.schemas.status import FINAL
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import HubDep, Id, StoreDep

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=CallerRoute)

LONGEST_WAIT_SECONDS = 60


@router.get(
    "/{job_id}/progress", summary="Show the progress of a job", responses=documented(404, 422)
)
async def get_progress(
    job_id: Id,
    store: StoreDep,
    hub: HubDep,
    wait: Annotated[
        float,
        Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for a change, at most."),
    ] = 0,
    after: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="The `version` that you have; default: the current one.",
        ),
    ] = None,
) -> Progress:
    """Return the current progress of the job. It is cheap enough to ask for every second.

    With `wait`, the response comes when the version differs from `after`, when the job is over,
    or after `wait` seconds. A waiting request holds no thread.
    """
    progress = await run_in_threadpool(store.progress, job_id)
    known = progress.version if after is None else after
    if wait and progress.version == known and progress.status not in FINAL:
        async with aclosing(hub.listen(job_id, after=known, quiet_seconds=wait)) as news:
            await anext(news, None)
        progress = await run_in_threadpool(store.progress, job_id)
    return progress
