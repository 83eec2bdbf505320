"""The validation of trackers in a spec."""

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.schemas.job import JobSpec
from relora_core.spec.error_messages import readable_errors


@pytest.fixture
def document(spec: JobSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_defaults=True)


def test_each_is_one_line_of_the_spec(document: dict[str, Any]) -> None:
    document["trackers"] = [
        {"name": "tensorboard"},
        {"name": "wandb", "project": "pretraining"},
        {"name": "mlflow", "uri": "https://mlflow.example.com", "experiment": "relora"},
    ]
    names = [tracker.name for tracker in JobSpec.model_validate(document).trackers]
    assert names == ["tensorboard", "wandb", "mlflow"]


@pytest.mark.parametrize(
    ("trackers", "path", "message"),
    [
        ([{"name": "tensorboard"}] * 2, "trackers.1.name", "tensorboard is there already"),
        ([{"name": "wandb"}], "trackers.0.project", "required"),
        ([{"name": "comet"}], "trackers.0", "no name 'comet'"),
        ([{"name": "mlflow", "uri": "file:///x"}], "trackers.0.uri", "use https://host"),
        ([{"name": "mlflow", "uri": "https://a:b@c"}], "trackers.0.uri", "MLFLOW_TRACKING_"),
        ([{"name": "mlflow", "uri": "https://a/secret?x="}], "trackers.0.uri", "without `?`"),
        ([{"name": "mlflow", "uri": "https://a/secret#"}], "trackers.0.uri", "without `?`"),
        ([{"name": "mlflow", "uri": "sqlite:///x.db"}], "trackers.0.uri", "sqlite:////file"),
    ],
)
def test_what_cannot_work_is_refused_by_its_field(
    document: dict[str, Any], trackers: list[dict[str, str]], path: str, message: str
) -> None:
    document["trackers"] = trackers
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(document)
    (problem,) = readable_errors(refused.value, document, JobSpec)
    assert problem.path == path
    assert message in problem.message
