"""What a job would cost, with nothing queued."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, WithJsonSchema

from relora_core.errors import ModelError
from relora_core.estimate import GPUS, UTILIZATION, estimate, needs_trainer
from service.caller_route import CallerRoute
from service.errors import documented
from service.responses import JobEstimate
from service.specs import AdmissionDep, SpecBody, warnings_of

NEEDS_TRAINER = (
    "A model that is only named, a family without a known shape and the method control are "
    "estimated where the trainer is installed: python -m relora_core estimate."
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=CallerRoute)


def _known(gpu: str) -> str:
    if gpu not in GPUS:
        raise ValueError(f"no GPU {gpu!r} is known; there are {', '.join(GPUS)}")
    return gpu


GpuName = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(GPUS)})
]


@router.post("/estimate", responses=documented(400, 413, 415, 422))
def estimate_job(  # what a request has
    spec: SpecBody,
    admission: AdmissionDep,
    gpu: Annotated[GpuName, Query(description="Each of `resources.gpus`.")] = "h100",
    utilization: Annotated[
        float,
        Query(
            ge=0.01,
            le=1,
            description="The share of the GPU's peak that training is assumed to reach.",
        ),
    ] = UTILIZATION,
) -> JobEstimate:
    """Check a spec as a submit does, and say its parameters, memory, arithmetic and time.

    Beside them are those of full-rank training. Nothing is queued.
    """
    admission.check(spec)
    found, reason = None, NEEDS_TRAINER
    if not needs_trainer(spec):
        try:
            gpus = spec.resources.gpus
            found = estimate(spec.train, gpu=gpu, gpus=gpus, utilization=utilization)
        except ModelError as error:
            reason = str(error)
    return JobEstimate(
        spec=spec,
        estimate=found,
        not_estimated=None if found else reason,
        warnings=warnings_of(spec),
    )
