"""Forks: new jobs made from the spec, and optionally the weights, of another job."""

from fastapi import APIRouter, Response

from jobs.errors import ArtifactNotFound
from jobs.schemas.forks import Fork, forked
from jobs.schemas.job import Job, JobSpec
from jobs.store.artifacts import ArtifactSelection
from relora_core.spec import LowRank, names_of
from relora_core.spec.error_messages import FieldError
from relora_core.workdir.files import CHECKPOINTS
from service.http.caller_route import CallerRoute
from service.http.errors import InvalidSpec, documented, errors_under
from service.routes.dependencies import BackendsDep, DispatcherDep, Id
from service.routes.jobs import CREATED, located
from service.routes.spec_body import AdmissionDep, IdempotencyKey, spec_of

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=CallerRoute)


@router.post(
    "/{job_id}/fork",
    summary="Fork a job",
    status_code=201,
    responses={**CREATED, **documented(400, 404, 409, 413, 422)},
)
def fork_job(  # noqa: PLR0913 # FastAPI passes each part of the request
    job_id: Id,
    fork: Fork,
    admission: AdmissionDep,
    backends: BackendsDep,
    dispatcher: DispatcherDep,
    response: Response,
    key: IdempotencyKey = None,
) -> Job:
    """Queue a new job with the spec of this job and your changes to it.

    It starts from scratch or from the weights of this job. The new job counts its own steps from
    0. The weights that it starts from are kept until it is over.
    """
    job = backends.store.get(job_id)
    if fork.source is not None and not _has(backends, job_id, fork.source):
        raise ArtifactNotFound(job_id, fork.source)
    with errors_under("changes"):
        spec = spec_of(forked(job, fork))
        _check_output(job, spec)
        admission.check(spec)
    _check_source(fork, spec)
    submitted = backends.store.submit(
        spec,
        project=admission.project,
        key=key,
        origin=admission.origin(forked_from=job_id),
    )
    dispatcher.run_soon()
    return located(submitted.job, response, is_new=submitted.is_new)


def _has(backends: BackendsDep, job_id: str, folder: str) -> bool:
    return bool(backends.files.list(job_id, ArtifactSelection(prefix=f"{folder}/"), limit=1))


def _check_output(job: Job, spec: JobSpec) -> None:
    """Raise `InvalidSpec` if the fork would write where the other job writes."""
    if spec.output is not None and spec.output == job.spec.output:
        message = f"job {job.id} writes there; give another place"
        raise InvalidSpec([FieldError(path="output.uri", message=message)])


def _check_source(fork: Fork, spec: JobSpec) -> None:
    """Raise `InvalidSpec` for a checkpoint and a method that cannot start from one."""
    from_checkpoint = fork.source is not None and fork.source.startswith(CHECKPOINTS)
    if from_checkpoint and not isinstance(spec.method, LowRank):
        message = (
            f"a checkpoint starts {names_of(LowRank)}, not {spec.method.name}; "
            "begin with `final` or a merged model"
        )
        raise InvalidSpec([FieldError(path="from", message=message)])
