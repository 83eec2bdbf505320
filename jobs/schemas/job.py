"""A job for people: the spec that they write (`JobSpec`) and the job that they read (`Job`)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.body import Body
from jobs.schemas.resources import Resources
from jobs.schemas.secret_names import HUB_TOKEN, SecretNames, check_s3_variables
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from jobs.schemas.storage_url import FORMS, is_storage_url
from jobs.schemas.trackers import TrackerSpec, check_each_once
from jobs.schemas.webhooks import WebhookSpec, warn_of_old_names
from relora_core.events import Phase, RestartReport, SourceRead
from relora_core.spec import (
    Line,
    Spec,
    SpecConflict,
    SpecWarning,
    TextPattern,
    TrainSpec,
    read_accepted,
    was_accepted,
)
from relora_core.spec.error_messages import readable_errors

LabelKey = Annotated[
    str,
    Field(max_length=63),
    TextPattern(
        r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$",
        "letters, digits, `.`, `_`, `/` and `-`, with a letter or a digit at both ends",
    ),
]

Labels = Annotated[
    dict[LabelKey, Annotated[str, Field(max_length=256)]],
    Field(json_schema_extra={"additionalProperties": False}),  # only keys that match the pattern
]
MAX_LABELS = 64
Priority = Annotated[int, Field(ge=-100, le=100)]


_HUB_REPO = TextPattern(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$",
    "OWNER/NAME, such as my-org/relora-130m",
)


class HubRepo(Spec):
    """A repository of the Hugging Face Hub."""

    repo: Annotated[str, Field(max_length=193), _HUB_REPO] = Field(
        description="Organization or user, and name: my-org/relora-130m. It is created if there "
        "is none.",
    )
    private: bool = Field(
        default=True, description="Whether a repository that is created is private."
    )


class Output(Spec):
    uri: str | None = Field(
        default=None,
        max_length=4096,
        description=f"Where checkpoints and models are stored: {FORMS}. Default: the service's own "
        "storage.",
    )
    hub: HubRepo | None = Field(
        default=None,
        description="A Hub repository to which the merged model of the finished run is also "
        "pushed. Default: none.",
    )

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        place = uri.rstrip("/")
        if not is_storage_url(place):
            raise ValueError(f"cannot write to {uri!r}; use {FORMS}")
        return place


class Retries(Spec):
    """The limits for failed attempts and for attempts that stall."""

    max_attempts: int = Field(
        default=5, ge=1, le=100, description="Failed attempts after which the job fails."
    )
    stalled_after: float | None = Field(
        default=1800.0,
        ge=1,
        le=31_536_000,
        description="A trainer that gives no sign of life for this many seconds is ended, and the "
        "next attempt resumes from the newest checkpoint. null: never.",
    )


class JobSpec(TrainSpec):
    """The spec of a job: a training run, and the settings of the service for it."""

    labels: Labels = Field(
        default_factory=dict,
        max_length=MAX_LABELS,
        description="Names and values to find the job by: {team: research}.",
    )
    priority: Priority = Field(
        default=0,
        description="The queued job of a project with the highest priority runs first; of equals, "
        "the oldest.",
    )
    resources: Resources = Resources()
    output: Output | None = Field(
        default=None,
        description="Where the job's files are stored. Default: the service's own storage.",
    )
    retries: Retries = Retries()
    secrets: SecretNames = Field(
        default_factory=dict,
        description="Environment variables of the trainer, each with the name of the secret that "
        "it holds: {HF_TOKEN: my-hf-token}.",
    )
    trackers: tuple[TrackerSpec, ...] = Field(
        default=(),
        max_length=10,
        description="Where the metrics also go besides the service; at most one of each kind.",
    )
    webhooks: tuple[WebhookSpec, ...] = Field(
        default=(), max_length=10, description="Addresses that receive the events of this job."
    )

    def _find_warnings(self, written: Mapping[str, Any]) -> Iterator[SpecWarning]:
        yield from super()._find_warnings(written)
        yield from warn_of_old_names(written.get("webhooks", ()))

    @model_validator(mode="after")
    def _suits_the_service(self, info: ValidationInfo) -> Self:
        if was_accepted(info):
            return self
        self._check_gpus()
        self._check_credentials()
        check_each_once(self.trackers)
        return self

    def _check_gpus(self) -> None:
        if self.training.global_batch_size % self.resources.gpus:
            raise SpecConflict(
                "training.global_batch_size",
                f"must divide over resources.gpus ({self.resources.gpus}); "
                f"got {self.training.global_batch_size}",
            )

    def _check_credentials(self) -> None:
        check_s3_variables(self.secrets)
        if self.hub is not None and HUB_TOKEN not in self.secrets:
            raise SpecConflict(
                "output.hub",
                f"needs a token that may write there, as `secrets: {{{HUB_TOKEN}: ...}}`",
            )

    @property
    def output_uri(self) -> str | None:
        """The output location that the spec names for the job's files, or None."""
        return self.output.uri if self.output else None

    @property
    def hub(self) -> HubRepo | None:
        return self.output.hub if self.output else None

    @classmethod
    def accepted(cls, document: object) -> "JobSpec":
        """Read a stored spec without the bounds and rules that were added since it was accepted.

        Return an `UnreadableSpec` if this version cannot read the spec at all.
        """
        try:
            return read_accepted(JobSpec, document)
        except ValidationError as error:
            return UnreadableSpec.of(document, error)

    @property
    def train(self) -> TrainSpec:
        """The part of the spec that the trainer reads."""
        document = self.model_dump(include=set(TrainSpec.model_fields))
        return read_accepted(TrainSpec, document)


class UnreadableSpec(JobSpec):
    """A stored spec that this version cannot read. It is shown as it is stored, and cannot run.

    The fields that can be read are set, so that its job can be listed, cancelled and deleted.
    """

    _stored: object = PrivateAttr(default=None)
    _problem: str = PrivateAttr(default="")

    @classmethod
    def of(cls, stored: object, error: ValidationError) -> "UnreadableSpec":
        wrong = {item["loc"][0] for item in error.errors(include_url=False) if item["loc"]}
        written = stored if isinstance(stored, dict) else {}
        kept = {key: written[key] for key in _READ_ALONE & written.keys() - wrong}
        spec = read_accepted(cls, {**_LEAST, **kept})
        spec._stored = stored
        spec._problem = "; ".join(map(str, readable_errors(error, stored, JobSpec)))
        return spec

    @property
    def problem(self) -> str:
        return f"This version cannot read the spec that is stored. {self._problem}"

    @model_serializer(mode="plain")
    def _as_stored(self) -> Any:
        return self._stored


# The fields that can be read without the others, and the smallest valid spec.
_READ_ALONE = {"name", "labels", "priority", "output", "retries", "secrets"}
_LEAST: dict[str, Any] = {
    "model": {"preset": "llama_9m"},
    "data": {"train": {"uri": "/"}},
    "training": {"steps": 1},
}


def _as_accepted(value: object, _validate: object) -> JobSpec:
    return value if isinstance(value, JobSpec) else JobSpec.accepted(value)


AcceptedSpec = Annotated[SerializeAsAny[JobSpec], WrapValidator(_as_accepted)]


class Progress(BaseModel):
    """The current progress of a job. A value that is not known yet is null."""

    model_config = ConfigDict(frozen=True)

    status: JobStatus
    queue_position: int | None = Field(
        default=None, description="1 is next; null for a job that is not queued."
    )
    preparing: str | None = Field(
        default=None, description="How far its data is, in words, until the run itself starts."
    )
    unschedulable_reason: str | None = Field(
        default=None, description="Of a queued job: why no worker that there is can run it."
    )
    phase: Phase | None = None
    step: int = 0
    total_steps: int
    epoch: float | None = Field(
        default=None,
        description="How often the training data was read so far: 1.5 epochs. null for a mixture.",
    )
    sources: list[SourceRead] = Field(
        default_factory=list, description="What was read so far of each source of a mixture."
    )
    tokens_seen: int = 0
    loss: float | None = None
    learning_rate: float | None = None
    factor_learning_rate: float | None = Field(
        default=None, description="Of A and B, if they have their own rate."
    )
    tokens_per_second: float | None = Field(
        default=None, description="At the last report; null while no trainer is at work."
    )
    mfu: float | None = Field(
        default=None, description="Model FLOPs utilization; null where no peak is known: on a CPU."
    )
    hfu: float | None = Field(
        default=None, description="Hardware FLOPs utilization, with what is recomputed."
    )
    step_seconds: float | None = None
    data_wait_seconds: float | None = Field(
        default=None, description="How much of a step waits for its data."
    )
    memory_allocated_bytes: int | None = Field(
        default=None, description="Of tensors on a GPU; of the process, on a CPU."
    )
    memory_peak_bytes: int | None = Field(default=None, description="The highest of that so far.")
    gpu_utilization: float | None = Field(default=None, description="0 to 1.")
    gpu_temperature_celsius: float | None = None
    gpu_power_watts: float | None = None
    restarts: int = 0
    restart_report: RestartReport | None = Field(
        default=None, description="What the last restart whose cycle is over cost and bought."
    )
    eta_seconds: float | None = None
    stop_reason: str | None = Field(
        default=None, description="Why the run ended before its last step; null: it did not."
    )
    validation_perplexity: float | None = None
    validation_accuracy: float | None = None
    validation_step: int | None = Field(
        default=None, description="The step at which the two above were measured."
    )
    validation_losses: dict[str, float | None] = Field(
        default_factory=dict,
        description="The last loss of each validation set that has a name, and of the held-out "
        "part of each source of a mixture.",
    )
    peak_memory_bytes: int | None = Field(
        default=None,
        description="Of a GPU, or of a process that trained on a CPU, once the run is complete.",
    )
    attempt: int = 0
    worker: str | None = None
    version: int = Field(
        default=0, description="Grows with each event of the job; give it as `after` to wait."
    )
    updated_at: datetime


class JobState(BaseModel):
    """A job without its spec."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    labels: dict[str, str]
    priority: int
    status: JobStatus
    requested_action: RequestedAction | None = Field(
        description="What the worker was asked to do and has not done yet."
    )
    attempt: int = Field(description="0 until a worker claims the job.")
    failed_attempts: int = Field(description="Those that count against `retries.max_attempts`.")
    worker: str | None
    gpu_hours: float = Field(default=0.0, description="That its attempts had GPUs for so far.")
    forked_from: str | None = Field(description="The job that this one was forked from.")
    progress: Progress
    error: JobError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Job(JobState):
    spec: AcceptedSpec
    spec_problem: str | None = Field(
        default=None, description="Why the stored spec, shown as it is, cannot be read or run."
    )


class JobChanges(Body):
    """The changes of a job. A field that is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"labels": {"team": "research"}, "priority": 10}},
    )

    name: Line = Field(default="")
    labels: Labels = Field(
        default_factory=dict, max_length=MAX_LABELS, description="They replace those it had."
    )
    priority: Priority = Field(default=0, description="Only while the job is queued.")

    @property
    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


def _its_path(artifact: dict[str, Any]) -> str:
    return str(artifact["path"])


class Artifact(BaseModel):
    """A file that a job made. It is listed when it is complete in the storage."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description="Its name among the files of the job: final/model.safetensors.")
    kind: ArtifactKind
    step: int | None
    size: int = Field(description="In bytes.")
    sha256: str
    key: str = Field(
        default_factory=_its_path,
        description="Where it is in the storage, below the job's output.",
    )
    created_at: datetime
