"""Sweeps: many jobs from one spec and a grid of changes, to be compared."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from jobs.schemas.sweeps import NewSweep, Sweep, SweepSummary
from jobs.sweeps.grid import InvalidSweep, plan
from service.http.caller_route import CallerRoute
from service.http.errors import InvalidSpec, documented
from service.routes.dependencies import (
    BackendsDep,
    Cursor,
    DispatcherDep,
    Id,
    PageLimit,
    ProjectDep,
)
from service.routes.spec_body import EXAMPLES, AdmissionDep, IdempotencyKey
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], route_class=CallerRoute)

SWEEP_EXAMPLES: dict[str, Any] = {
    "first": {
        "summary": "Three methods side by side, each for a few minutes on a CPU",
        "value": {
            "base": EXAMPLES["first"]["value"],
            "grid": {"method": ["full", "lora", "relora"]},
        },
    },
}
CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": Sweep, "description": "What an earlier request with this Idempotency-Key made."},
    201: LOCATION,
}


@router.post(
    "",
    summary="Submit a sweep",
    status_code=201,
    responses={**CREATED, **documented(400, 409, 413, 422)},
)
def create_sweep(
    new: Annotated[NewSweep, Body(openapi_examples=SWEEP_EXAMPLES)],
    admission: AdmissionDep,
    backends: BackendsDep,
    dispatcher: DispatcherDep,
    response: Response,
    key: IdempotencyKey = None,
) -> Sweep:
    """Queue a job for each combination of the grid. If one is invalid, none is queued.

    Combinations that give the same run become one job.
    """
    try:
        planned = plan(new.base, new.grid, admission.problems)
    except InvalidSweep as error:
        raise InvalidSpec(error.problems) from None
    submitted = backends.sweeps.create(
        new,
        planned,
        project=admission.project,
        key=key,
        origin=admission.origin(),
    )
    dispatcher.run_soon()
    response.headers["Location"] = f"/v1/sweeps/{submitted.sweep.id}"
    if not submitted.is_new:
        response.status_code = 200
    return submitted.sweep


@router.get("", summary="List sweeps", responses=documented(422))
def list_sweeps(
    project: ProjectDep,
    backends: BackendsDep,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[SweepSummary]:
    """Return a page of sweeps, the newest first, each with the count of its jobs by status."""
    found = backends.sweeps.list(project=project, limit=limit + 1, before=cursor)
    return Page[SweepSummary].of(found, limit)


@router.get("/{sweep_id}", summary="Compare the jobs of a sweep", responses=documented(404))
def get_sweep(sweep_id: Id, project: ProjectDep, backends: BackendsDep) -> Sweep:
    """Return the jobs of a sweep with their loss, perplexity, speed, memory and status."""
    return backends.sweeps.get(sweep_id, project=project)


@router.post(
    "/{sweep_id}/cancel",
    summary="Cancel the jobs of a sweep",
    status_code=202,
    responses=documented(404),
)
def cancel_sweep(sweep_id: Id, project: ProjectDep, backends: BackendsDep) -> Sweep:
    """Cancel each job of the sweep that is not over yet."""
    return backends.sweeps.cancel(sweep_id, project=project)
