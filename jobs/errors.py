"""What can go wrong between a job and its store.

JobsError
├── JobNotFound          no such job
├── JobInUse             a job that is not over begins with what this one saved
├── IllegalTransition    the job's status does not allow the transition
├── SweepNotFound        no such sweep in this project
├── IdempotencyConflict  the key was used for another body
├── LeaseLost            another attempt holds the job, or none does any more
├── ArtifactNotFound     the job has no such file
├── LogNotFound          the job has no log of that attempt
├── KeyNotFound          no such API key, or none of this project
├── ProjectNotFound      no such project
├── ProjectExists        the name is taken
├── QuotaExceeded        the project has all that it may have
├── SecretNotFound       the project has no such secret
├── SecretsUnavailable   no key opens it
├── ModelNotFound        the job has no merged model yet, or none of that step
├── NoTextModel          the job's model is no language model
├── GenerationNotFound   the job has no such generation
├── TooManyGenerations   as many of the project wait as may
├── DatasetNotFound      no such dataset, or none of this project
├── DatasetInUse         a job that is not over names the dataset
├── OffsetMismatch       bytes of an upload do not begin where those before them end
├── UploadTooLarge       more bytes than may be, or than were announced
├── ChecksumMismatch     an upload is not what was announced
├── TooManyWebhooks      the project has all that one may have
├── WebhookNotFound      the project has no such webhook
├── DeliveryNotFound     the webhook has no such delivery
├── QueueUnavailable     the broker does not answer, or refuses writes
└── StorageError         the storage did not do what was asked
    └── StorageRefused   and would not if it were asked again
"""

from collections.abc import Sequence


class JobsError(Exception):
    """Any of the errors below; the message is for the user."""


class JobNotFound(JobsError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.")
        self.job_id = job_id


class JobInUse(JobsError):
    def __init__(self, job_id: str, users: Sequence[str]) -> None:
        super().__init__(
            f"Job {job_id} has the weights that jobs which are not over begin with: "
            f"{', '.join(users)}. Delete it when they are over, or cancel them first."
        )
        self.job_id = job_id


class IllegalTransition(JobsError):
    def __init__(self, job_id: str, status: str, action: str, *, advice: str = "") -> None:
        super().__init__(f"Job {job_id} is {status}; it cannot be {action}. {advice}".rstrip())
        self.job_id = job_id
        self.status = status


class SweepNotFound(JobsError):
    def __init__(self, sweep_id: str) -> None:
        super().__init__(f"There is no sweep {sweep_id!r}.")


class IdempotencyConflict(JobsError):
    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used for another body; "
            "send that body again, or this one with a key of its own."
        )


class LeaseLost(JobsError):
    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer holds job {job_id}.")


class ArtifactNotFound(JobsError):
    def __init__(self, job_id: str, path: str) -> None:
        super().__init__(f"Job {job_id} has no file {path!r}.")


class LogNotFound(JobsError):
    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Job {job_id} has no log of attempt {attempt}.")


class KeyNotFound(JobsError):
    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id!r}.")


class ProjectNotFound(JobsError):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is no project {name!r}.")


class ProjectExists(JobsError):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is a project {name!r} already; choose another name.")


class QuotaExceeded(JobsError):
    """Names the quota, what is used of it, what was asked on top, and the limit."""

    def __init__(self, project: str, quota: str, *, used: int, asked: int, limit: int) -> None:
        super().__init__(
            f"Project {project!r} may have {limit:,} {quota.replace('_', ' ')} and has {used:,}; "
            f"{asked:,} more would be too many. Make room, or ask an operator for a higher quota."
        )
        self.quota, self.used, self.asked, self.limit = quota, used, asked, limit


class SecretNotFound(JobsError):
    def __init__(self, name: str) -> None:
        super().__init__(f"There is no secret {name!r}; store it under this name first.")
        self.name = name


class SecretsUnavailable(JobsError):
    """The message says what an operator must do."""


class ModelNotFound(JobsError):
    def __init__(self, job_id: str, step: int | None, what: str = "merged model") -> None:
        which = "" if step is None else f" of step {step}"
        super().__init__(
            f"Job {job_id} has no {what}{which}. The final model comes with its last step; "
            "`export.every` and `checkpoint.every` in the spec say what there is before."
        )


class NoTextModel(JobsError):
    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Job {job_id} trains no language model with a tokenizer; there is no text to sample."
        )


class GenerationNotFound(JobsError):
    def __init__(self, job_id: str, generation_id: str) -> None:
        super().__init__(f"Job {job_id} has no generation {generation_id!r}.")


class TooManyGenerations(JobsError):
    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} generations of this project wait already; ask again when some are over."
        )


class DatasetNotFound(JobsError):
    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"There is no dataset {dataset_id!r}.")


class DatasetInUse(JobsError):
    def __init__(self, dataset_id: str, job_ids: Sequence[str]) -> None:
        super().__init__(
            f"Dataset {dataset_id} is used by jobs that are not over: {', '.join(job_ids)}."
        )


class OffsetMismatch(JobsError):
    def __init__(self, dataset_id: str, offset: int, received: int) -> None:
        super().__init__(
            f"Dataset {dataset_id} has {received} bytes; go on from there, not from {offset}."
        )
        self.received = received


class UploadTooLarge(JobsError):
    """The message says how large it may be."""


class ChecksumMismatch(JobsError):
    def __init__(self, dataset_id: str, *, announced: str, found: str) -> None:
        super().__init__(
            f"Dataset {dataset_id} was announced with sha256 {announced}; what came has {found}. "
            "Nothing of it was kept; send it again from offset 0."
        )


class TooManyWebhooks(JobsError):
    """The message says how many there may be, and what to do."""


class WebhookNotFound(JobsError):
    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {webhook_id!r}.")


class DeliveryNotFound(JobsError):
    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"The webhook has no delivery {delivery_id!r}.")


class QueueUnavailable(JobsError):
    """The message says why; what waits in the outbox is sent later."""


class StorageError(JobsError):
    """The storage refused or failed; the message says which address and why."""


class StorageRefused(StorageError):
    """It would refuse the same again, for want of a right, a bucket, a valid key or the time."""
