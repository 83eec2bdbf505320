"""Jobs: submit, look, cancel, pause, resume."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Response
from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from jobs.admission import problems_of
from jobs.models import Job, JobSpec, Progress
from jobs.status import JobStatus, Wish
from relora_core.problems import explain
from service.dependencies import BackendsDep, DispatcherDep, ProjectDep, StoreDep
from service.errors import InvalidSpec, documented
from service.responses import JobPage

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EXAMPLE: dict[str, Any] = {
    "name": "relora-130m",
    "model": {"preset": "llama_130m"},
    "tokenizer": {"train": {"vocab_size": 8192}},
    "data": {"train": {"uri": "s3://corpus/c4/*.jsonl.gz"}, "sequence_length": 512},
    "method": {"name": "relora", "rank": 128, "warm_start_steps": 5000, "reset_every": 5000},
    "training": {"steps": 20000, "global_batch_size": 1152},
}


def _explained(document: object, validate: ValidatorFunctionWrapHandler) -> JobSpec:
    """Validate with errors in the words of the one who wrote the spec."""
    if isinstance(document, bytes):
        raise HTTPException(415, "Send the spec as JSON, with Content-Type: application/json.")
    try:
        spec: JobSpec = validate(document)
    except ValidationError as error:
        raise InvalidSpec(explain(error, document, JobSpec)) from None
    return spec


SpecBody = Annotated[
    JobSpec,
    WrapValidator(_explained),
    Body(
        openapi_examples={"relora": {"summary": "130M parameters, 20,000 steps", "value": EXAMPLE}}
    ),
]


@router.post(
    "",
    status_code=201,
    responses={
        201: {"headers": {"Location": {"schema": {"type": "string"}}}},
        **documented(400, 413, 415, 422),
    },
)
def create_job(
    spec: SpecBody,
    backends: BackendsDep,
    project: ProjectDep,
    dispatcher: DispatcherDep,
    response: Response,
) -> Job:
    """Store a training job and queue it for a worker."""
    if problems := problems_of(spec, backends, project=project):
        raise InvalidSpec(problems)
    job = backends.store.create(spec, project=project)
    dispatcher.ring()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("", responses=documented(422))
def list_jobs(
    project: ProjectDep,
    store: StoreDep,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
) -> JobPage:
    """Jobs, the newest first."""
    jobs = store.list(project=project, status=status, limit=limit, before=before)
    return JobPage(items=jobs, next=jobs[-1].id if len(jobs) == limit else None)


@router.get("/{job_id}", responses=documented(404))
def get_job(job_id: str, store: StoreDep) -> Job:
    return store.get(job_id)


@router.get("/{job_id}/progress", responses=documented(404))
def get_progress(job_id: str, store: StoreDep) -> Progress:
    """Where the job is now: cheap enough to ask every second."""
    return store.progress(job_id)


@router.post("/{job_id}/cancel", status_code=202, responses=documented(404, 409))
def cancel_job(job_id: str, store: StoreDep) -> Job:
    """Ask the job to save a checkpoint and end; one that waits in the queue ends at once."""
    return store.wish(job_id, Wish.CANCEL)


@router.post("/{job_id}/pause", status_code=202, responses=documented(404, 409))
def pause_job(job_id: str, store: StoreDep) -> Job:
    """Ask the job to save a checkpoint and leave its worker until it is resumed."""
    return store.wish(job_id, Wish.PAUSE)


@router.post("/{job_id}/resume", status_code=202, responses=documented(404, 409))
def resume_job(job_id: str, store: StoreDep, dispatcher: DispatcherDep) -> Job:
    """Put a paused job back into the queue; it goes on from its last checkpoint."""
    job = store.resume(job_id)
    dispatcher.ring()
    return job
