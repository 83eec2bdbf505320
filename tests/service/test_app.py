"""The service as a whole: what it says of itself, and that it sends jobs on."""

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import open_backends
from jobs.settings import Settings
from relora_core.spec import TrainSpec
from service.routes.spec_body import EXAMPLES
from tests.service.serving import serving


def test_every_operation_documents_its_answer(openapi: dict[str, Any]) -> None:
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            assert any(status < "300" for status in operation["responses"]), (path, method)


def test_an_unready_service_is_documented_as_it_answers(openapi: dict[str, Any]) -> None:
    unready = openapi["paths"]["/readyz"]["get"]["responses"]["503"]["content"]
    assert unready["application/json"]["schema"]["$ref"] == "#/components/schemas/Readiness"


def test_the_body_of_a_submission_is_documented_with_an_example(openapi: dict[str, Any]) -> None:
    content = openapi["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"]["$ref"] == "#/components/schemas/JobSpec"
    assert openapi["components"]["schemas"]["JobSpec"]["required"] == [
        "model",
        "data",
        "training",
    ]
    assert content["examples"] == EXAMPLES


@pytest.mark.parametrize(("name", "steps"), [("first", 400), ("relora_130m", 20_000)])
def test_an_example_is_a_spec_without_a_warning(name: str, steps: int) -> None:
    spec = TrainSpec.model_validate(EXAMPLES[name]["value"])
    assert spec.total_steps == steps
    assert spec.warnings == ()


@pytest.mark.integration
def test_each_example_of_a_submission_is_accepted_as_it_is_by_a_new_service_on_loopback(
    openapi: dict[str, Any], open_url: str
) -> None:
    submission = openapi["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    examples = [one["value"] for one in submission["application/json"]["examples"].values()]
    for example in examples:
        accepted = httpx.post(f"{open_url}/v1/jobs", json=example, timeout=60)
        assert accepted.status_code == 201, accepted.text
        assert accepted.json()["warnings"] == []
    first = examples[0]
    assert Path(first["data"]["train"]["uri"]).is_file()  # in a clone; else on the Hub


def test_every_operation_says_what_it_does_in_words_of_its_own(openapi: dict[str, Any]) -> None:
    operations = [one for path in openapi["paths"].values() for one in path.values()]
    summaries = [operation["summary"] for operation in operations]
    assert len(set(summaries)) == len(summaries)
    for operation in operations:
        of_the_function = operation["operationId"].replace("_", " ").title()
        assert operation["summary"] != of_the_function  # what FastAPI says where nobody did


def test_every_path_has_its_parameters_documented(openapi: dict[str, Any]) -> None:
    parameters = openapi["paths"]["/v1/jobs/{job_id}/events"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert names == {"job_id", "after", "cursor", "limit", "type", "last-event-id"}


@pytest.mark.integration
def test_a_submitted_job_reaches_the_broker(
    settings: Settings, document: dict[str, Any], valkey_url: str
) -> None:
    settings = settings.model_copy(update={"broker_url": valkey_url})
    with closing(open_backends(settings)) as backends:
        waiting = backends.queue.depth()
        with serving(backends) as url:
            assert httpx.post(f"{url}/v1/jobs", json=document).status_code == 201
        assert backends.queue.depth() == waiting + 1
        assert backends.outbox.unsent() == []
