"""The settings from environment variables. The composition root reads them once per process."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobs.schemas.resources import GpuClass
from jobs.schemas.storage_url import FORMS, is_storage_url

Authentication = Literal["auto", "required", "off"]
Prefixes = Annotated[tuple[str, ...], NoDecode]  # separated by commas in the variable


def _sqlite_in(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['data_dir'] / 'relora.db'}"


def _storage_in(values: dict[str, Any]) -> str:
    return (values["data_dir"] / "storage").as_uri()  # type: ignore[no-any-return] # a Path


class Settings(BaseSettings):
    """Each field is an environment variable: `RELORA_DATA_DIR`, `RELORA_DATABASE_URL`, ..."""

    model_config = SettingsConfigDict(env_prefix="RELORA_", frozen=True, validate_default=True)

    data_dir: Path = Field(default=Path("~/.relora"), description="Where the defaults below live.")
    database_url: str = Field(
        default_factory=_sqlite_in,
        description="postgresql://user:password@host/name or sqlite:////file; default: SQLite "
        "in the data folder.",
    )
    broker_url: str = Field(
        default="redis://127.0.0.1:6379/0", description="Redis or Valkey: queue and wake-ups."
    )
    storage_url: str = Field(
        default_factory=_storage_in,
        description=f"{FORMS}; default: in the data folder. S3 reads "
        "its endpoint and credentials from the usual AWS variables.",
    )
    allowed_outputs: Prefixes = Field(
        default_factory=tuple,
        description=f"Where jobs may write, between commas: {FORMS}. "
        "Empty: anywhere but, where keys are asked for, on the service's machines.",
    )
    allowed_sources: Prefixes = Field(
        default_factory=tuple,
        description="As `allowed_outputs`, for the files and objects that jobs read.",
    )
    allowed_trackers: Prefixes = Field(
        default_factory=tuple,
        description="Servers that jobs may send their curves to, between commas: "
        "mlflow.example.com, 10.0.0.5:5000. Empty: any but, where keys are asked for, none in "
        "private networks.",
    )
    lease_seconds: float = Field(
        default=60,
        gt=0,
        description="How long a worker may be silent before its job counts as lost.",
    )
    outage_seconds: float = Field(
        default=600,
        gt=0,
        description="How long a worker retries failing storage before its attempt fails.",
    )
    cpu_cores: int | None = Field(
        default=None,
        ge=1,
        description="CPU cores that the processes of a worker share; default: those of the "
        "machine that it may use.",
    )
    gpu_class: GpuClass | None = Field(
        default=None,
        description="The class of a worker's GPUs, such as h100: jobs with this `resources.gpu` "
        "run there.",
    )
    one_job: bool = Field(
        default=False,
        description="Whether a worker ends after its first job, or when it got none in "
        "five minutes.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How the processes log: lines of text, or a JSON object in each line, with "
        "`job_id` and `attempt` while a worker runs a job.",
    )
    processes_without_gpus: bool = Field(
        default=False,
        description="Whether a worker without a GPU starts as many training processes as "
        "`resources.gpus` says; otherwise it starts one.",
    )
    min_free_disk_bytes: int = Field(
        default=1_000_000_000,
        ge=0,
        description="A worker with less free space in its data folder takes no job.",
    )

    upload_max_bytes: int = Field(
        default=100_000_000_000, ge=1, description="The largest dataset that may be uploaded."
    )
    upload_expires_seconds: float = Field(
        default=86_400,
        gt=0,
        description="How long an upload may receive no byte before it is abandoned.",
    )
    max_priority: int = Field(
        default=100, ge=-100, le=100, description="The highest priority that a job may have."
    )
    generation_seconds: float = Field(
        default=600,
        gt=0,
        description="How long a generation may wait for a generator, and how long it may then "
        "take.",
    )
    authentication: Authentication = Field(
        default="auto",
        description="Whether the API asks for keys. auto: unless it listens on loopback alone.",
    )
    requests_per_minute: int = Field(
        default=0, ge=0, le=1_000_000, description="Requests that each key may make; 0 is no limit."
    )
    request_burst: int = Field(
        default=60, ge=1, le=1_000_000, description="How many of them may come at once."
    )
    secret_keys: SecretStr | None = Field(
        default=None,
        description="Fernet keys that encrypt secrets, separated by commas, the newest first; "
        "`relora up` makes one.",
    )

    share_hf_token: bool = Field(
        default=False,
        description="Whether jobs that bring no HF_TOKEN use that of the workers, and so read "
        "what it reads on the Hugging Face Hub.",
    )
    webhook_allow_private: bool = Field(
        default=False,
        description="Whether webhooks may point into private networks and to this machine.",
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, data_dir: Path) -> Path:
        return data_dir.expanduser().absolute()

    @field_validator("allowed_outputs", "allowed_sources", "allowed_trackers", mode="before")
    @classmethod
    def _split(cls, prefixes: object) -> object:
        if not isinstance(prefixes, str):
            return prefixes
        return tuple(prefix.strip() for prefix in prefixes.split(",") if prefix.strip())

    @field_validator("allowed_outputs", "allowed_sources")
    @classmethod
    def _absolute_prefixes(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            if not (is_storage_url(prefix) or prefix.startswith("/")):
                raise ValueError(f"use {FORMS}; got {prefix!r}")
        return prefixes

    @property
    def cache_dir(self) -> Path:
        """The cache of prepared data and models, with a folder for each project; safe to delete."""
        return self.data_dir / "cache"

    def cache_of(self, project: str) -> Path:
        """Return the cache folder on this machine that only the jobs of one project share."""
        return self.cache_dir / project

    def alive_file(self, process: str) -> Path:
        """Return the file that a process touches from time to time while it works."""
        return self.data_dir / f"{process}.alive"

    @property
    def scratch_dir(self) -> Path:
        """The folders that trainers write into, one for each job."""
        return self.data_dir / "scratch"
