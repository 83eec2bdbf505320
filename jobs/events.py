"""A job's log: the trainer's events and the job's own, numbered by the store."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from jobs.models import JobError
from relora_core.events import AnyTrainEvent, Event


class JobQueued(Event):
    type: Literal["job.queued"] = "job.queued"
    reason: Literal["submitted", "resumed", "worker_left"] = "submitted"


class JobClaimed(Event):
    type: Literal["job.claimed"] = "job.claimed"
    worker: str


class JobStarted(Event):
    """The trainer process runs."""

    type: Literal["job.started"] = "job.started"
    worker: str
    resumed_from: int | None = Field(default=None, description="The checkpoint's step.")


class JobRetrying(Event):
    """The job goes back to the queue for another attempt."""

    type: Literal["job.retrying"] = "job.retrying"
    reason: JobError
    next_attempt: int
    max_attempts: int


class WishMade(Event):
    type: Literal["job.wish"] = "job.wish"
    wish: Literal["cancel", "pause"]


class JobPaused(Event):
    type: Literal["job.paused"] = "job.paused"


class JobSucceeded(Event):
    type: Literal["job.succeeded"] = "job.succeeded"


class JobFailed(Event):
    type: Literal["job.failed"] = "job.failed"
    error: JobError


class JobCancelled(Event):
    type: Literal["job.cancelled"] = "job.cancelled"


class JobWarned(Event):
    """Something around the trainer that a person should know; the job goes on."""

    type: Literal["job.warning"] = "job.warning"
    code: str
    message: str


AnyStatusEvent = (
    JobQueued
    | JobClaimed
    | JobStarted
    | JobRetrying
    | WishMade
    | JobPaused
    | JobSucceeded
    | JobFailed
    | JobCancelled
    | JobWarned
)
AnyJobEvent = AnyTrainEvent | AnyStatusEvent
JobEvent = Annotated[AnyJobEvent, Field(discriminator="type")]
job_event_adapter: TypeAdapter[AnyJobEvent] = TypeAdapter(JobEvent)
