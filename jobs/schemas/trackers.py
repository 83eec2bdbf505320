"""Experiment trackers in a spec, to which the metrics of a job also go."""

from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from relora_core.spec import Spec, SpecConflict, was_accepted

Name = Annotated[str, Field(min_length=1, max_length=128)]


class TensorboardTracker(Spec):
    """TensorBoard event files among the job's artifacts, in `reports/tensorboard/`."""

    name: Literal["tensorboard"] = Field(
        default="tensorboard", description="Event files in `reports/tensorboard/` of the job."
    )


class WandbTracker(Spec):
    """A run of Weights & Biases. Its id is the id of the job."""

    name: Literal["wandb"] = Field(
        default="wandb", description="A run of Weights & Biases. Its id is the id of the job."
    )
    project: Name = Field(description="The W&B project.")
    entity: Name | None = Field(
        default=None, description="The W&B user or team. Default: that of the API key."
    )
    mode: Literal["online", "offline"] = Field(
        default="online",
        description="offline: files in `reports/wandb/` for `wandb sync`; needs no API key.",
    )


class MlflowTracker(Spec):
    """A run of MLflow. Later attempts find it by its tag `relora.job_id`."""

    name: Literal["mlflow"] = Field(
        default="mlflow", description="A run of MLflow with the tag `relora.job_id`."
    )
    uri: str = Field(
        max_length=2048,
        description="The tracking server: https://host, http://host or sqlite:////file on the "
        "workers.",
    )
    experiment: Name = Field(default="relora", description="The MLflow experiment.")

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: str, info: ValidationInfo) -> str:
        if was_accepted(info):
            return uri
        if not uri.startswith(("https://", "http://", "sqlite:////")):
            raise ValueError("use https://host, http://host or sqlite:////file")
        if set(uri) & set("?#"):
            raise ValueError("must be an address alone, without `?` and `#`")
        if "@" in urlsplit(uri).netloc:
            raise ValueError(
                "must not hold credentials; give MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD in `secrets`"
            )
        return uri


TrackerSpec = Annotated[
    TensorboardTracker | WandbTracker | MlflowTracker, Field(discriminator="name")
]


def check_each_once(trackers: Sequence[TrackerSpec]) -> None:
    names = [tracker.name for tracker in trackers]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise SpecConflict(f"trackers.{number}.name", f"{name} is there already")
