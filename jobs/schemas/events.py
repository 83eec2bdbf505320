"""The events of a job: those of the trainer and those of the job itself, numbered by the store."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from jobs.schemas.status import JobError
from relora_core.counted import counted
from relora_core.events import AnyTrainEvent, Event


class JobQueued(Event):
    type: Literal["job.queued"] = "job.queued"
    reason: Literal["submitted", "forked", "resumed", "retried", "worker_left"] = "submitted"

    def __str__(self) -> str:
        return f"queued ({self.reason.replace('_', ' ')})"


class JobClaimed(Event):
    type: Literal["job.claimed"] = "job.claimed"
    worker: str

    def __str__(self) -> str:
        return f"claimed by {self.worker}"


class JobStarted(Event):
    """The trainer process runs."""

    type: Literal["job.started"] = "job.started"
    worker: str
    resumed_from: int | None = Field(default=None, description="The checkpoint's step.")

    def __str__(self) -> str:
        if self.resumed_from is None:
            return "the trainer starts"
        return f"the trainer goes on from the checkpoint of step {self.resumed_from}"


class JobRetrying(Event):
    """The job goes back to the queue for another attempt."""

    type: Literal["job.retrying"] = "job.retrying"
    reason: JobError
    next_attempt: int
    failed_attempts: int | None = Field(
        default=None,
        description="How many have failed; null in events of earlier versions. "
        "With the reason `node_unhealthy` the attempt is not counted.",
    )
    max_attempts: int

    def __str__(self) -> str:
        failed = "" if self.failed_attempts is None else f"{self.failed_attempts} of "
        attempts = f"{failed}{counted(self.max_attempts, 'attempt')} failed"
        return f"back to the queue ({attempts}): {self.reason.message}"


class ActionRequested(Event):
    type: Literal["job.action_requested"] = "job.action_requested"
    action: Literal["cancel", "pause"]

    def __str__(self) -> str:
        return f"asked to {self.action}"


class ProfileRequested(Event):
    """The worker was asked for a profile of the next steps."""

    type: Literal["job.profile_requested"] = "job.profile_requested"
    steps: int

    def __str__(self) -> str:
        return f"asked for a profile of {counted(self.steps, 'step')}"


class JobPaused(Event):
    type: Literal["job.paused"] = "job.paused"

    def __str__(self) -> str:
        return "paused"


class JobSucceeded(Event):
    type: Literal["job.succeeded"] = "job.succeeded"
    stop_reason: str | None = Field(
        default=None, description="Why the run ended before its last step, if it did."
    )

    def __str__(self) -> str:
        return f"succeeded early: {self.stop_reason}" if self.stop_reason else "succeeded"


class JobFailed(Event):
    type: Literal["job.failed"] = "job.failed"
    error: JobError

    def __str__(self) -> str:
        return f"failed ({self.error.code}): {self.error.message}"


class JobCancelled(Event):
    type: Literal["job.cancelled"] = "job.cancelled"

    def __str__(self) -> str:
        return "cancelled"


class JobWarned(Event):
    """A problem outside the trainer that a person should know about. The job goes on."""

    type: Literal["job.warning"] = "job.warning"
    code: str
    message: str

    def __str__(self) -> str:
        return f"warning: {self.message}"


class JobPublished(Event):
    """The merged model of the finished run is on the Hugging Face Hub."""

    type: Literal["job.published"] = "job.published"
    repo: str
    url: str = Field(description="Of the commit.")

    def __str__(self) -> str:
        return f"the model is on the Hub: {self.url}"


AnyStatusEvent = (
    JobQueued
    | JobClaimed
    | JobStarted
    | JobRetrying
    | ActionRequested
    | ProfileRequested
    | JobPaused
    | JobSucceeded
    | JobFailed
    | JobCancelled
    | JobWarned
    | JobPublished
)
AnyJobEvent = AnyTrainEvent | AnyStatusEvent
EVENT_TYPES = frozenset(event.model_fields["type"].default for event in get_args(AnyJobEvent))
JobEvent = Annotated[AnyJobEvent, Field(discriminator="type")]
job_event_adapter: TypeAdapter[AnyJobEvent] = TypeAdapter(JobEvent)


Lines = Sequence[tuple[int, AnyTrainEvent]]  # numbered lines of a trainer's events.jsonl
