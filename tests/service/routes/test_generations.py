"""Text from models, over HTTP, with a generator that a test plays."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.generations import GeneratedText
from jobs.schemas.job import Artifact, Job, JobSpec

TEXT = GeneratedText(text=" was", prompt_tokens=3, new_tokens=1, finish_reason="length")


def save(backends: Backends, job: Job, kind: ArtifactKind, step: int) -> None:
    folder = {"final": "final", "merged": f"merged/step-{step:08d}"}
    path = folder.get(kind, f"checkpoints/step-{step:08d}") + "/config.json"
    artifact = Artifact(
        path=path, kind=kind, step=step, size=1, sha256="0" * 64, created_at=datetime.now(UTC)
    )
    backends.attempts.add_artifacts(job.id, 1, [artifact])


def answer(backends: Backends, *, after: float = 0) -> None:
    time.sleep(after)
    deadline = time.monotonic() + 10  # the request that asks may come later on a busy machine
    while (claim := backends.generations.claim(worker="g", seconds=60)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    backends.generations.succeed(claim, TEXT)


def test_what_is_asked_is_accepted_and_looked_up(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    save(backends, running, "merged", 20)
    asked = http.post(f"/v1/jobs/{running.id}/generate", json={"prompt": "In the beginning"})
    assert asked.status_code == 202
    assert (asked.json()["status"], asked.json()["step"]) == ("queued", 20)
    address = asked.headers["Location"]
    assert address == f"/v1/jobs/{running.id}/generations/{asked.json()['id']}"
    assert http.get(address).json() == asked.json()

    answer(backends)
    done = http.get(address).json()
    assert (done["status"], done["result"]) == ("succeeded", TEXT.model_dump())
    listed = http.get(f"/v1/jobs/{running.id}/generations").json()
    assert listed == {"items": [done], "next": None}


def test_a_text_that_comes_in_time_is_the_answer(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    save(backends, running, "merged", 20)
    generator = threading.Timer(0.5, answer, [backends])
    generator.start()
    path = f"/v1/jobs/{running.id}/generate"
    done = http.post(path, params={"wait": 10}, json={"prompt": "In the beginning"})
    generator.join()
    assert (done.status_code, done.json()["result"]["text"]) == (200, " was")


def test_a_text_that_does_not_come_in_time_is_waited_for_again(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    save(backends, running, "merged", 20)
    asked = http.post(f"/v1/jobs/{running.id}/generate", params={"wait": 0.3}, json={})
    assert asked.status_code == 202
    generator = threading.Timer(0.5, answer, [backends])
    generator.start()
    done = http.get(asked.headers["Location"], params={"wait": 10})
    generator.join()
    assert done.json()["status"] == "succeeded"


def test_a_text_is_read_as_it_comes(http: httpx.Client, backends: Backends, running: Job) -> None:
    save(backends, running, "merged", 20)
    asked = http.post(f"/v1/jobs/{running.id}/generate", json={})
    claim = backends.generations.claim(worker="g", seconds=60)
    assert claim is not None
    writing = threading.Timer(0.5, backends.generations.tell, [claim, "and"])
    writing.start()
    begun = http.get(asked.headers["Location"], params={"wait": 20, "after": 0}).json()
    writing.join()
    assert (begun["status"], begun["text"], begun["result"]) == ("running", "and", None)
    now = http.get(asked.headers["Location"], params={"wait": 20, "after": 2}).json()
    assert now == begun
    backends.generations.succeed(claim, TEXT)
    done = http.get(asked.headers["Location"], params={"wait": 20, "after": 3}).json()
    assert (done["status"], done["text"]) == ("succeeded", TEXT.text)


def test_the_model_is_the_final_one_or_the_newest_or_that_of_a_step(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    def step(**asked: int) -> int:
        response = http.post(f"/v1/jobs/{running.id}/generate", json=asked)
        found: int = response.raise_for_status().json()["step"]
        return found

    save(backends, running, "merged", 20)
    save(backends, running, "checkpoint", 40)
    assert step() == 40
    assert step(step=20) == 20
    save(backends, running, "final", 30)
    assert step() == 30


def test_a_job_without_a_model_says_how_to_get_one(
    http: httpx.Client, backends: Backends, running: Job
) -> None:
    path = f"/v1/jobs/{running.id}/generate"
    response = http.post(path, json={})
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")
    assert "checkpoint" in response.json()["detail"]
    save(backends, running, "checkpoint", 40)
    response = http.post(path, json={"step": 20})
    assert "of step 20" in response.json()["detail"]


def test_an_image_classifier_has_no_text(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    spec = {**document, "task": "image_classification", "model": {"preset": "vit_tiny"}}
    spec["data"] = {"train": {"uri": "/images"}}
    job = backends.store.create(JobSpec.model_validate(spec))
    response = http.post(f"/v1/jobs/{job.id}/generate", json={})
    assert (response.status_code, response.json()["code"]) == (409, "no_text_model")


def test_a_model_of_token_ids_without_a_tokenizer_has_no_text(
    http: httpx.Client, backends: Backends, document: dict[str, Any]
) -> None:
    spec = {**document, "model": {"preset": "llama_9m"}, "tokenizer": {"eos_token_id": 0}}
    spec["data"] = {"train": {"uri": "/data/ids.npy"}}
    job = backends.store.create(JobSpec.model_validate(spec))
    response = http.post(f"/v1/jobs/{job.id}/generate", json={})
    assert (response.status_code, response.json()["code"]) == (409, "no_text_model")
    assert "tokenizer" in response.json()["detail"]


@pytest.mark.parametrize("body", [{"max_new_tokens": 0}, {"temperature": -1}, {"words": 3}])
def test_a_wrong_request_is_refused_by_field(
    http: httpx.Client, running: Job, body: dict[str, Any]
) -> None:
    response = http.post(f"/v1/jobs/{running.id}/generate", json=body)
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [f"{next(iter(body))}"]
