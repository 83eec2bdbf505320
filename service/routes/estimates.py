"""Estimates of what a job would need. Nothing is queued."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, WithJsonSchema

from relora_core.errors import ModelError
from relora_core.estimate import DEFAULT, GPUS, UTILIZATION, estimate, known_gpu, needs_trainer
from relora_core.suggestions import no_such
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.spec_body import Admission, AdmissionDep, SpecBody
from service.schemas.responses import GpuFrom, JobEstimate

NEEDS_TRAINER = (
    "A model that is only named, a family without a known shape and the method control are "
    "estimated where the trainer is installed: python -m relora_core estimate."
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=CallerRoute)


def _known(gpu: str) -> str:
    if gpu not in GPUS:
        raise ValueError(no_such("GPU", gpu, GPUS))
    return gpu


GpuName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(GPUS)})
]


@router.post(
    "/estimate", summary="Estimate what a job needs", responses=documented(400, 413, 415, 422)
)
def estimate_job(
    spec: SpecBody,
    admission: AdmissionDep,
    gpu: Annotated[
        GpuName | None,
        Query(
            description="Each of `resources.gpus`; by default that of a worker, or "
            f"{DEFAULT} where no worker has one of these."
        ),
    ] = None,
    utilization: Annotated[
        float,
        Query(
            ge=0.01,
            le=1,
            description="The share of the GPU's peak that training is assumed to reach.",
        ),
    ] = UTILIZATION,
) -> JobEstimate:
    """Check a spec as on submit, and estimate its parameters, memory, FLOPs and time.

    The same numbers for full-rank training are beside them. Nothing is queued.
    """
    admission.check(spec)
    name, gpu_from = (gpu, GpuFrom.REQUEST) if gpu else _of_workers(admission)
    found, reason, sources = None, NEEDS_TRAINER, admission.planned_sources(spec)
    if not needs_trainer(spec):
        try:
            found = estimate(
                spec.train,
                gpu=name,
                gpus=spec.resources.gpus,
                utilization=utilization,
                sources=sources,
            )
        except ModelError as error:
            reason = str(error)
    return JobEstimate(
        spec=spec,
        estimate=found,
        gpu_from=gpu_from,
        not_estimated=None if found else reason,
        warnings=admission.warnings(spec, sources=sources),
    )


def _of_workers(admission: Admission) -> tuple[str, GpuFrom]:
    """Return the first GPU of a worker that estimates know, or else the default."""
    workers = admission.backends.workers.list(project=admission.project)
    known = (known_gpu(gpu.name) for worker in workers for gpu in worker.gpus)
    found = next((name for name in known if name), None)
    return (found, GpuFrom.WORKERS) if found else (DEFAULT, GpuFrom.DEFAULT)
