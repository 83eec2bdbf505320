"""The validation of secrets in a spec."""

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.schemas.job import JobSpec
from jobs.schemas.secret_names import S3_VARIABLES
from relora_core.spec.error_messages import FieldError, readable_errors


@pytest.fixture
def document(spec: JobSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_defaults=True)


def problems(document: dict[str, Any], **secrets: str) -> list[FieldError]:
    document["secrets"] = secrets
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(document)
    return readable_errors(refused.value, document, JobSpec)


def test_a_spec_names_secrets_by_the_variable_that_holds_each(document: dict[str, Any]) -> None:
    s3 = {variable: variable.lower() for variable in S3_VARIABLES}
    document["secrets"] = {"HF_TOKEN": "my-hf-token", **s3}
    assert JobSpec.model_validate(document).secrets == document["secrets"]


@pytest.mark.parametrize(
    "variable", ["LD_PRELOAD", "PATH", "PYTHONPATH", "RELORA_SECRET_KEY", "hf_token", "HTTPS_PROXY"]
)
def test_a_variable_that_is_no_credential_cannot_be_set(
    document: dict[str, Any], variable: str
) -> None:
    (problem,) = problems(document, **{variable: "my-secret"})
    assert problem.path == f"secrets.{variable}"
    assert problem.message.startswith(f"'{variable}' cannot be set")


def test_a_value_in_place_of_a_name_is_refused_and_not_repeated(document: dict[str, Any]) -> None:
    (problem,) = problems(document, HF_TOKEN="hunter2 hunter2")
    assert problem.path == "secrets.HF_TOKEN"
    assert "hunter2" not in problem.message


@pytest.mark.parametrize("given", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_of_the_s3_credentials_is_refused(document: dict[str, Any], given: str) -> None:
    (problem,) = problems(document, **{given: "name"})
    assert problem.path == f"secrets.{given}"
    assert problem.message.startswith("needs AWS_")


def test_a_push_to_the_hub_needs_a_token(document: dict[str, Any]) -> None:
    document["output"] = {"hub": {"repo": "org/model"}}
    (problem,) = problems(document)
    assert (problem.path, problem.message[:25]) == ("output.hub", "needs a token that may wr")
    document["secrets"] = {"HF_TOKEN": "hub-token"}
    spec = JobSpec.model_validate(document)
    assert (spec.output_uri, spec.hub and spec.hub.repo) == (None, "org/model")
