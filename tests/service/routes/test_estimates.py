"""What a job would cost, over HTTP."""

from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.models import JobSpec
from relora_core.estimate import estimate


def test_a_spec_is_estimated_beside_full_rank_and_nothing_is_queued(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    document["resources"] = {"gpus": 2}
    response = http.post("/v1/jobs/estimate", json=document, params={"gpu": "l4"})
    body = response.json()
    expected = estimate(JobSpec.model_validate(document).train, gpu="l4", gpus=2)
    assert response.status_code == 200
    assert body["estimate"]["run"]["peak_bytes"] == expected.run.peak_bytes
    assert body["estimate"]["full_rank"]["seconds"] == expected.full_rank.seconds
    assert body["estimate"]["hardware"]["gpus"] == 2
    assert body["not_estimated"] is None
    assert body["spec"]["retries"]["max_attempts"] == 5
    assert backends.store.list() == []


def test_a_spec_that_would_be_refused_is_refused(
    http: httpx.Client, document: dict[str, Any]
) -> None:
    document["method"] = {"name": "relora", "rank": 0}
    response = http.post("/v1/jobs/estimate", json=document)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_spec")
    assert [error["path"] for error in response.json()["errors"]] == ["method.rank"]


@pytest.mark.parametrize(
    "part", [{"model": {"pretrained": "some/model"}}, {"method": {"name": "control"}}]
)
def test_what_only_the_trainer_can_read_is_checked_and_not_estimated(
    http: httpx.Client, document: dict[str, Any], part: dict[str, Any]
) -> None:
    body = http.post("/v1/jobs/estimate", json={**document, **part}).json()
    assert body["estimate"] is None
    assert "python -m relora_core estimate" in body["not_estimated"]


@pytest.mark.parametrize("query", [{"gpu": "abacus"}, {"utilization": 0}, {"utilization": 1.1}])
def test_a_gpu_that_is_not_known_is_named(
    http: httpx.Client, document: dict[str, Any], query: dict[str, Any]
) -> None:
    response = http.post("/v1/jobs/estimate", json=document, params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
