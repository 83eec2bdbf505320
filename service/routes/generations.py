"""Text generation by a job's model: request it, wait for it, list it."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool

from jobs.backends import Backends
from jobs.errors import ModelNotFound, NoTextModel
from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.generations import OVER, Generation, NewGeneration
from relora_core.spec import NoTokenizer
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import BackendsDep, Cursor, Id, PageLimit
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/jobs", tags=["generations"], route_class=CallerRoute)

POLL_SECONDS = 0.2

Wait = Annotated[
    float, Query(ge=0, le=60, description="Seconds to wait for the text, if it is not ready.")
]


@router.post(
    "/{job_id}/generate",
    summary="Generate text",
    status_code=202,
    responses={
        200: {"model": Generation, "description": "The generation ended within `wait` seconds."},
        202: LOCATION,
        **documented(400, 404, 409, 413, 422),
    },
)
async def generate(
    job_id: Id, new: NewGeneration, backends: BackendsDep, response: Response, wait: Wait = 0
) -> Generation:
    """Sample text from a model of the job, also while the job trains.

    If a checkpoint has no merged model yet, it is merged first, which takes a while.
    """
    asked = await run_in_threadpool(_create, backends, job_id, new)
    generation = await _when_over(backends, asked, wait)
    response.headers["Location"] = f"/v1/jobs/{job_id}/generations/{generation.id}"
    if generation.status in OVER:
        response.status_code = 200
    return generation


@router.get("/{job_id}/generations", summary="List generated texts", responses=documented(404, 422))
def list_generations(
    job_id: Id,
    backends: BackendsDep,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[Generation]:
    """Return a page of generated texts, the newest first."""
    found = backends.generations.list(job_id, limit=limit + 1, before=cursor)
    return Page[Generation].of(found, limit)


@router.get(
    "/{job_id}/generations/{generation_id}",
    summary="Show a generated text",
    responses=documented(404, 422),
)
async def get_generation(
    job_id: Id,
    generation_id: Id,
    backends: BackendsDep,
    wait: Wait = 0,
    after: Annotated[
        int | None,
        Query(ge=0, le=MAX_SAFE_INTEGER, description="Do not wait if `text` is longer than this."),
    ] = None,
) -> Generation:
    """Return a generation as soon as it is over, or after `wait` seconds.

    To read the text as it comes, give the length of the text that you have as `after`.
    """
    found = await run_in_threadpool(backends.generations.get, job_id, generation_id)
    return await _when_over(backends, found, wait, after)


def _create(backends: Backends, job_id: str, new: NewGeneration) -> Generation:
    spec = backends.store.get(job_id).spec
    if spec.task != "causal_lm" or isinstance(spec.tokenizer, NoTokenizer):
        raise NoTextModel(job_id)
    step = _step_of(backends, job_id, new.step)
    seconds = backends.settings.generation_seconds
    return backends.generations.create(job_id, new, step=step, seconds=seconds)


def _step_of(backends: Backends, job_id: str, step: int | None) -> int:
    """Return the step of the model to use: the given step, or the final model, or the newest."""
    saved = backends.files.checkpoints(job_id)
    matching = [one for one in saved if step in (None, one.step)]
    if not matching:
        raise ModelNotFound(job_id, step, "model or checkpoint")
    return max(matching, key=lambda one: (one.kind == "final", one.step)).step


async def _when_over(
    backends: Backends, generation: Generation, wait: float, after: int | None = None
) -> Generation:
    """Return the generation when it is over, or has more text than `after`, or after `wait`."""
    give_up_at = time.monotonic() + wait
    while generation.status not in OVER and time.monotonic() < give_up_at:
        if after is not None and len(generation.text) > after:
            break
        await asyncio.sleep(POLL_SECONDS)
        generation = await run_in_threadpool(
            backends.generations.get, generation.job_id, generation.id
        )
    return generation
