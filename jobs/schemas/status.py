"""The life of a job: its statuses and the one table of transitions between them."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class JobStatus(StrEnum):
    QUEUED = "queued"  # waits for a worker
    STARTING = "starting"  # claimed; data, checkpoint and trainer are being made ready
    RUNNING = "running"  # the trainer trains
    PAUSED = "paused"  # saved and off the queue, because a person asked for it
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RequestedAction(StrEnum):
    """What a person asked of a job that a worker runs; the worker does it."""

    CANCEL = "cancel"
    PAUSE = "pause"


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.STARTING, JobStatus.CANCELLED, JobStatus.PAUSED}),
    JobStatus.STARTING: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.QUEUED,  # the worker was lost or had to leave
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
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),  # a person wants it to be tried again
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
LEASED = frozenset({JobStatus.STARTING, JobStatus.RUNNING})  # by a worker, under a lease
# Over, until a person retries it.
FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


def sources(target: JobStatus) -> frozenset[JobStatus]:
    """The statuses from which `target` can be reached in one transition."""
    return frozenset(status for status, transitions in TRANSITIONS.items() if target in transitions)


class JobError(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
