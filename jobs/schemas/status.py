"""The statuses of a job, and the one table of transitions between them."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class JobStatus(StrEnum):
    QUEUED = "queued"  # the job waits for a worker
    STARTING = "starting"  # a worker claimed it and prepares data, checkpoint and trainer
    RUNNING = "running"  # the trainer runs
    PAUSED = "paused"  # a person paused it; its progress is saved, and it is not in the queue
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RequestedAction(StrEnum):
    """The action that a person requested of a running job. The worker does it."""

    CANCEL = "cancel"
    PAUSE = "pause"


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.STARTING, JobStatus.CANCELLED, JobStatus.PAUSED}),
    JobStatus.STARTING: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.QUEUED,  # the worker was lost or preempted, or the attempt failed
            JobStatus.PAUSED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.SUCCEEDED,
            JobStatus.QUEUED,
            JobStatus.PAUSED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),  # a person retries it
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
LEASED = frozenset({JobStatus.STARTING, JobStatus.RUNNING})  # a worker holds it under a lease
# The job is over, unless a person retries it.
FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


def sources(target: JobStatus) -> frozenset[JobStatus]:
    """Return the statuses from which `target` can be reached in one transition."""
    return frozenset(status for status, transitions in TRANSITIONS.items() if target in transitions)


class JobError(BaseModel):
    """The reason for a failure: a code for programs and a message for people."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
