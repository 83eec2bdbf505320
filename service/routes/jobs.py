"""Jobs: submit, find, change, cancel, pause, resume, retry, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from jobs.errors import StorageError
from jobs.garbage.deleted_jobs import delete_files
from jobs.schemas.job import Job, JobChanges
from jobs.schemas.profiles import NewProfile, ProfileRequest
from jobs.schemas.status import RequestedAction
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import (
    BackendsDep,
    DispatcherDep,
    Id,
    PageLimit,
    ProjectDep,
    StoreDep,
)
from service.routes.job_filters import JobFilterDep
from service.routes.spec_body import AdmissionDep, IdempotencyKey, SpecBody
from service.schemas.pages import Page
from service.schemas.responses import LOCATION, SubmittedJob

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=CallerRoute)


CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": Job, "description": "What an earlier request with this Idempotency-Key made."},
    201: LOCATION,
}
SUBMITTED = {**CREATED, 200: {**CREATED[200], "model": SubmittedJob}}


@router.post(
    "",
    summary="Submit a job",
    status_code=201,
    responses={**SUBMITTED, **documented(400, 409, 413, 415, 422)},
)
def create_job(
    spec: SpecBody,
    admission: AdmissionDep,
    store: StoreDep,
    dispatcher: DispatcherDep,
    response: Response,
    key: IdempotencyKey = None,
) -> SubmittedJob:
    """Store a training job and queue it for a worker."""
    admission.check(spec)
    submitted = store.submit(spec, project=admission.project, key=key, origin=admission.origin())
    dispatcher.run_soon()
    job = located(submitted.job, response, is_new=submitted.is_new)
    warnings = admission.warnings(spec, sources=admission.planned_sources(spec))
    return SubmittedJob(**dict(job), warnings=warnings)


def located(job: Job, response: Response, *, is_new: bool) -> Job:
    """Set `Location`, and the status 200 if an earlier request created the job."""
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if not is_new:
        response.status_code = 200
    return job


@router.get("", summary="List jobs", responses=documented(422))
def list_jobs(
    project: ProjectDep,
    store: StoreDep,
    wanted: JobFilterDep,
    limit: PageLimit = 50,
) -> Page[Job]:
    """Return a page of jobs, the newest first.

    A page has fewer than `limit` jobs if their specs are long. Ask for more with `next` until it
    is null.
    """
    jobs, more = store.page(wanted, project=project, limit=limit)
    return Page[Job](items=jobs, next=jobs[-1].id if more else None)


@router.get("/{job_id}", summary="Show a job", responses=documented(404))
def get_job(job_id: Id, store: StoreDep) -> Job:
    """Return the job with its whole spec and its current progress."""
    return store.get(job_id)


@router.patch(
    "/{job_id}",
    summary="Change the name, labels or priority of a job",
    responses=documented(400, 404, 409, 413, 422),
)
def change_job(job_id: Id, changes: JobChanges, store: StoreDep, admission: AdmissionDep) -> Job:
    """Change the name or the labels at any time, or the priority while the job is queued."""
    if "priority" in changes.given:
        admission.check_priority(changes.priority)
    return store.change(job_id, changes)


@router.delete(
    "/{job_id}", summary="Delete a job", status_code=204, responses=documented(404, 409, 422, 502)
)
def delete_job(
    job_id: Id,
    backends: BackendsDep,
    artifacts: Annotated[bool, Query(description="Its files in the storage too.")] = False,  # noqa: FBT002 # a query parameter
) -> None:
    """Delete a finished job and its events. Its files stay in the storage unless `artifacts` is
    true.

    If the storage does not answer or refuses, the response is 502. The job is deleted then, and
    the service deletes its files later.
    """
    if not artifacts:
        backends.store.delete(job_id)
        return
    backends.storage_for(backends.store.get(job_id))  # raises if the storage cannot be opened
    backends.store.delete(job_id, with_files=True)
    try:
        delete_files(backends, job_id)
    except StorageError as error:
        state = f"Job {job_id} is deleted. Its files are not yet: the service tries again later."
        raise StorageError(f"{state} {error}") from error


@router.post(
    "/{job_id}/cancel", summary="Cancel a job", status_code=202, responses=documented(404, 409)
)
def cancel_job(job_id: Id, store: StoreDep) -> Job:
    """Ask the job to save a checkpoint and end. A queued job ends at once."""
    return store.request_action(job_id, RequestedAction.CANCEL)


@router.post(
    "/{job_id}/pause", summary="Pause a job", status_code=202, responses=documented(404, 409)
)
def pause_job(job_id: Id, store: StoreDep) -> Job:
    """Ask the job to save a checkpoint and free its worker until the job is resumed."""
    return store.request_action(job_id, RequestedAction.PAUSE)


@router.post(
    "/{job_id}/profile",
    summary="Profile a running job",
    status_code=202,
    responses=documented(400, 404, 409, 413, 422),
)
def profile_job(job_id: Id, new: NewProfile, store: StoreDep) -> ProfileRequest:
    """Ask for a trace of the job's next steps: its operators, its kernels and its memory.

    Its files are among the artifacts, of the kind `profile`, soon after the event `train.profile`.
    If the attempt ends before, the next attempt makes the profile. The numbers of the run stay the
    same, and the profiled steps are slower.
    """
    return store.request_profile(job_id, new.steps)


@router.post(
    "/{job_id}/resume",
    summary="Resume a paused job",
    status_code=202,
    responses=documented(404, 409),
)
def resume_job(job_id: Id, store: StoreDep, dispatcher: DispatcherDep) -> Job:
    """Put a paused job back into the queue. It resumes from its last checkpoint."""
    job = store.resume(job_id)
    dispatcher.run_soon()
    return job


@router.post(
    "/{job_id}/retry",
    summary="Retry a failed or cancelled job",
    status_code=202,
    responses=documented(404, 409),
)
def retry_job(job_id: Id, store: StoreDep, dispatcher: DispatcherDep) -> Job:
    """Put a failed or cancelled job back into the queue. It resumes from its last checkpoint.

    Its count of failed attempts starts again at 0.
    """
    job = store.retry(job_id)
    dispatcher.run_soon()
    return job
