"""What a job would cost, over HTTP."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from jobs.schemas.workers import Gpu, Registration
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


def test_the_gpu_is_the_workers_or_it_is_said_that_one_is_assumed(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    def hardware(**query: str) -> tuple[str, str]:
        body = http.post("/v1/jobs/estimate", json=document, params=query).json()
        return body["estimate"]["hardware"]["gpu"]["name"], body["gpu_from"]

    assert hardware() == ("h100", "default")
    gpu = Gpu(name="NVIDIA A100-SXM4-80GB", memory_bytes=None)
    backends.workers.beat(
        Registration(name="w1", host="h", version="1", gpus=(gpu,), started_at=datetime.now(UTC))
    )
    assert hardware() == ("a100_80gb", "workers")
    assert hardware(gpu="l4") == ("l4", "request")


def test_many_epochs_of_the_data_are_counted_and_warned_of(
    http: httpx.Client, document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "text.jsonl").write_text("x" * 40_000)  # 10,000 tokens; 100,000 are trained on
    body = http.post("/v1/jobs/estimate", json=document).json()
    assert body["estimate"]["sources"] == [{"name": "", "tokens": 100_000, "epochs": 10}]
    [warning] = body["warnings"]
    assert warning["path"] == "training"
    assert warning["message"].startswith("reads its data for about 10 epochs")
    assert http.post("/v1/jobs", json=document).json()["warnings"] == [warning]


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
