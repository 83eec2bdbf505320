"""Response models of the API besides a job, its progress and its events.

Server and client use them.
"""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.events import JobCancelled, JobEvent, JobFailed, JobSucceeded
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.keys import Scope
from jobs.schemas.queue import QueuedJob
from jobs.schemas.status import JobStatus
from relora_core.estimate import Estimate
from service.schemas.pages import Page

PROBLEM = "application/problem+json"
# For OpenAPI: a response with the address of the thing that was created.
LOCATION = {"headers": {"Location": {"schema": {"type": "string"}}}}
LAST_EVENTS = (JobSucceeded, JobFailed, JobCancelled)  # the last of a job unless it is retried


class FieldProblem(BaseModel):
    path: str = Field(description="The field as it was written.", examples=["method.rank"])
    message: str = Field(examples=["must be at least 1; got 0"])


class ExceededQuota(BaseModel):
    name: str = Field(description="As in the project's `quotas`.", examples=["queued_jobs"])
    used: int = Field(examples=[100])
    asked: int = Field(description="On top of what is used.", examples=[1])
    limit: int = Field(examples=[100])


class Problem(BaseModel):
    """An error. All errors have this shape (RFC 9457)."""

    type: str = Field(examples=["urn:relora:problem:invalid_spec"])
    title: str = Field(description="The name of the status.", examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(description="What is wrong, and what to change.")
    code: str = Field(description="Stable; for programs.", examples=["invalid_spec"])
    request_id: str = Field(description="The same as the X-Request-ID of the response.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="The fields to change, where the request itself is wrong."
    )
    quota: ExceededQuota | None = Field(
        default=None, description="The project's quota that would be exceeded."
    )


class Session(BaseModel):
    """Who is calling."""

    project: str = Field(description="The project that the caller sees.", examples=["default"])
    scope: Scope
    key_id: str | None = Field(description="Null if the service lets the caller in without a key.")


class FieldWarning(BaseModel):
    path: str = Field(description="The field as it was written.", examples=["method.reset_every"])
    message: str = Field(examples=["is ignored: it belongs to relora, not to lora"])


class SubmittedJob(Job):
    """A job that was submitted, with warnings about its spec."""

    warnings: list[FieldWarning] = Field(
        default=[], description="Fields of the spec that were not used, and why."
    )


class GpuFrom(StrEnum):
    """The origin of the GPU of an estimate."""

    REQUEST = "request"
    WORKERS = "workers"
    DEFAULT = "default"  # no worker has a GPU that estimates know


class JobEstimate(BaseModel):
    """A spec that would be accepted, with its defaults, and an estimate of what it needs."""

    spec: JobSpec
    estimate: Estimate | None
    gpu_from: GpuFrom = Field(
        default=GpuFrom.REQUEST,
        description="Where the GPU comes from: the request, the workers that there are, or, where "
        "no worker has a known one, the default.",
    )
    not_estimated: str | None = Field(description="Why there is no estimate, if there is none.")
    warnings: list[FieldWarning] = Field(
        default=[], description="Fields of the spec that were not used, and why."
    )


class EventPage(Page[JobEvent]):
    model_config = ConfigDict(ser_json_inf_nan="strings")  # as in a single event


class DeletedJob(BaseModel):
    """A job that was deleted while it was followed."""

    id: str


class StoredArtifact(Artifact):
    """A file of a job, and its download path."""

    url: str = Field(description="Path of its download, below the address of the service.")


class Queue(Page[QueuedJob]):
    """The queued jobs of a project, and the number of its jobs of each status."""

    counts: dict[JobStatus, int]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The readiness of the service and of the parts that it needs.

    Without the broker, jobs are accepted and sent once it is back. Without the storage, jobs can
    still be watched. In both cases the service is `degraded`, not `unready`.
    """

    status: Literal["ready", "degraded", "unready"]
    store: str = Field(description="`ok`, or what is wrong with it.")
    broker: str = Field(description="`ok`, or what is wrong with it.")
    storage: str = Field(description="`ok`, or what is wrong with it.")
