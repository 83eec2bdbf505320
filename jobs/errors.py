"""The errors of the service, with the HTTP status and the code that the API answers.

JobsError
├── NotFound                  404
│   ├── JobNotFound           there is no such job
│   ├── SweepNotFound         the project has no such sweep
│   ├── ArtifactNotFound      the job has no such file
│   ├── LogNotFound           the job has no log of that attempt
│   ├── KeyNotFound           there is no such API key, or it is of another project
│   ├── ProjectNotFound       there is no such project
│   ├── SecretNotFound        the project has no such secret
│   ├── ModelNotFound         the job has no merged model yet, or not at that step
│   ├── GenerationNotFound    the job has no such generation
│   ├── DatasetNotFound       there is no such dataset, or it is of another project
│   ├── WebhookNotFound       the project has no such webhook
│   └── DeliveryNotFound      the webhook has no such delivery
├── Conflict                  409
│   ├── JobInUse              a job that is not over has files of this job as an input
│   ├── IllegalTransition     the job's status does not allow the transition
│   ├── ProfilePending        the profile that was requested is not saved yet
│   ├── IdempotencyConflict   the idempotency key was used with another body
│   ├── ProjectExists         the name of the project is taken
│   ├── NoTextModel           the job's model is not a language model
│   ├── TooManyGenerations    the project has too many generations in the queue
│   ├── DatasetInUse          a job that is not over has the dataset as an input
│   ├── OffsetMismatch        the bytes do not begin where the received bytes of the upload end
│   └── TooManyWebhooks       the project has the maximum number of webhooks
├── Forbidden                 403
│   └── QuotaExceeded         the request would exceed a quota of the project
├── TooLarge                  413
│   └── UploadTooLarge        the upload has more bytes than allowed, or than announced
├── Invalid                   422
│   └── ChecksumMismatch      the upload does not have the announced SHA-256
├── Unavailable               503
│   └── SecretsUnavailable    the service has no encryption key, or none that decrypts the secret
├── UpstreamFailed            502
│   └── StorageError          a request to the storage failed
│       └── StorageRefused    the storage would refuse the same request again
├── LeaseLost                 another attempt, or none, holds the job now
└── QueueUnavailable          the broker does not answer, or refuses writes
"""

from collections.abc import Sequence
from typing import ClassVar

from relora_core.counted import counted


class JobsError(Exception):
    """The base class of the errors below. The message is for the user."""

    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"  # for programs; it never changes


class NotFound(JobsError):
    http_status = 404


class Conflict(JobsError):
    http_status = 409


class Forbidden(JobsError):
    http_status = 403


class TooLarge(JobsError):
    http_status = 413


class Invalid(JobsError):
    http_status = 422


class Unavailable(JobsError):
    http_status = 503


class UpstreamFailed(JobsError):
    http_status = 502


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.")
        self.job_id = job_id


class JobInUse(Conflict):
    code = "job_in_use"

    def __init__(self, job_id: str, users: Sequence[str]) -> None:
        super().__init__(
            f"Job {job_id} has the weights that jobs which are not over begin with: "
            f"{', '.join(users)}. Delete it when they are over, or cancel them first."
        )
        self.job_id = job_id


class IllegalTransition(Conflict):
    code = "illegal_transition"

    def __init__(self, job_id: str, status: str, action: str, *, advice: str = "") -> None:
        super().__init__(f"Job {job_id} is {status}; it cannot be {action}. {advice}".rstrip())
        self.job_id = job_id
        self.status = status


class ProfilePending(Conflict):
    code = "profile_pending"

    def __init__(self, job_id: str, steps: int) -> None:
        super().__init__(
            f"Job {job_id} was asked for a profile of {counted(steps, 'step')} and has not saved "
            "it yet. Ask again after its event train.profile."
        )


class SweepNotFound(NotFound):
    code = "sweep_not_found"

    def __init__(self, sweep_id: str) -> None:
        super().__init__(f"There is no sweep {sweep_id!r}.")


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used for another body; "
            "send that body again, or this one with a key of its own."
        )


class LeaseLost(JobsError):
    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer holds job {job_id}.")


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"

    def __init__(self, job_id: str, path: str) -> None:
        super().__init__(f"Job {job_id} has no file {path!r}.")


class LogNotFound(NotFound):
    code = "log_not_found"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Job {job_id} has no log of attempt {attempt}.")


class KeyNotFound(NotFound):
    code = "key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id!r}.")


class ProjectNotFound(NotFound):
    code = "project_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no project {name!r}.")


class ProjectExists(Conflict):
    code = "project_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a project {name!r} already; choose another name.")


class QuotaExceeded(Forbidden):
    """The message names the quota, its limit, what is used of it, and what was asked for."""

    code = "quota_exceeded"

    def __init__(self, project: str, quota: str, *, used: int, asked: int, limit: int) -> None:
        super().__init__(
            f"Project {project!r} would exceed its quota {quota}: limit {limit:,}, used {used:,}, "
            f"{asked:,} more asked for. Make room, or ask an operator for a higher quota."
        )
        self.quota, self.used, self.asked, self.limit = quota, used, asked, limit


class SecretNotFound(NotFound):
    code = "secret_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no secret {name!r}; store it under this name first.")
        self.name = name


class SecretsUnavailable(Unavailable):
    """The message says what an operator must do."""

    code = "secrets_unavailable"


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, job_id: str, step: int | None, what: str = "merged model") -> None:
        which = "" if step is None else f" of step {step}"
        super().__init__(
            f"Job {job_id} has no {what}{which}. The final model comes with its last step; "
            "`export.every` and `checkpoint.every` in the spec say what there is before."
        )


class NoTextModel(Conflict):
    code = "no_text_model"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"Job {job_id} trains no language model with a tokenizer; there is no text to sample."
        )


class GenerationNotFound(NotFound):
    code = "generation_not_found"

    def __init__(self, job_id: str, generation_id: str) -> None:
        super().__init__(f"Job {job_id} has no generation {generation_id!r}.")


class TooManyGenerations(Conflict):
    code = "too_many_generations"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{counted(limit, 'generation')} of this project wait already; ask again when some "
            "are over."
        )


class DatasetNotFound(NotFound):
    code = "dataset_not_found"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"There is no dataset {dataset_id!r}.")


class DatasetInUse(Conflict):
    code = "dataset_in_use"

    def __init__(self, dataset_id: str, job_ids: Sequence[str]) -> None:
        super().__init__(
            f"Dataset {dataset_id} is used by jobs that are not over: {', '.join(job_ids)}."
        )


class OffsetMismatch(Conflict):
    code = "offset_mismatch"

    def __init__(self, dataset_id: str, offset: int, received: int) -> None:
        super().__init__(
            f"Dataset {dataset_id} has {counted(received, 'byte')}; go on from there, "
            f"not from {offset}."
        )
        self.received = received


class UploadTooLarge(TooLarge):
    """The message says how large the upload may be."""

    code = "upload_too_large"


class ChecksumMismatch(Invalid):
    code = "checksum_mismatch"

    def __init__(self, dataset_id: str, *, announced: str, found: str) -> None:
        super().__init__(
            f"Dataset {dataset_id} was announced with sha256 {announced}; what came has {found}. "
            "Nothing of it was kept; send it again from offset 0."
        )


class TooManyWebhooks(Conflict):
    """The message says how many webhooks are allowed, and what to do."""

    code = "too_many_webhooks"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"There is no webhook {webhook_id!r}.")


class DeliveryNotFound(NotFound):
    code = "delivery_not_found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"The webhook has no delivery {delivery_id!r}.")


class QueueUnavailable(JobsError):
    """The message says why. The messages in the outbox are sent later."""


class StorageError(UpstreamFailed):
    """The storage refused a request or failed. The message says at which address and why."""

    code = "storage_failed"


class StorageRefused(StorageError):
    """The storage would refuse the same request again.

    A permission, the bucket or a valid key is missing, or the clock of this machine is wrong.
    """
