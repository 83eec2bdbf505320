"""Both clients, against a real server."""

import asyncio
import threading
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from jobs.backends import Backends, open_backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.keys import Scope
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from service.client import ApiError, AsyncClient, Client, Unreachable
from service.schemas.responses import FieldProblem
from tests.service.files import AddFile, play_generator
from tests.service.keys import make_key
from tests.service.serving import serving

NOWHERE = "http://127.0.0.1:9"


def test_a_job_goes_through_its_life(
    client: Client, backends: Backends, document: dict[str, Any]
) -> None:
    job = client.jobs.create(JobSpec.model_validate(document))
    assert client.jobs.pause(job.id).status is JobStatus.PAUSED
    assert client.jobs.resume(job.id).status is JobStatus.QUEUED
    assert client.jobs.change(job.id, {"labels": {"team": "nlp"}}).labels == {"team": "nlp"}
    assert client.jobs.progress(job.id).total_steps == 100
    assert client.jobs.cancel(job.id).status is JobStatus.CANCELLED
    assert client.jobs.retry(job.id).status is JobStatus.QUEUED
    assert client.jobs.get(job.id) == backends.store.get(job.id)
    client.jobs.cancel(job.id)
    client.jobs.delete(job.id, artifacts=True)
    assert list(client.jobs.list()) == []


def test_an_event_loop_can_do_the_same(url: str, document: dict[str, Any]) -> None:
    async def live() -> list[Job]:
        async with AsyncClient(url) as client:
            job = await client.jobs.create(document)
            await client.jobs.cancel(job.id)
            assert (await client.jobs.wait(job.id)).status is JobStatus.CANCELLED
            assert [event.type async for event in client.jobs.stream(job.id)] == [
                "job.queued",
                "job.cancelled",
            ]
            return [item async for item in client.jobs.list(status=JobStatus.CANCELLED)]

    assert [job.name for job in asyncio.run(live())] == ["tiny"]


def test_a_list_goes_on_over_its_pages_to_its_limit(
    client: Client, backends: Backends, document: dict[str, Any]
) -> None:
    spec = JobSpec.model_validate(document)
    made = [backends.store.create(spec).id for _ in range(205)]
    assert [job.id for job in client.jobs.list()] == made[::-1]
    assert [job.id for job in client.jobs.list(limit=201)] == made[:3:-1]


def test_a_list_is_narrowed(client: Client, document: dict[str, Any]) -> None:
    wanted = client.jobs.create({**document, "labels": {"team": "a=b", "run": "1"}})
    other = client.jobs.create({**document, "method": {"name": "full"}})
    client.jobs.pause(other.id)

    def ids(**filters: Any) -> list[str]:
        return [job.id for job in client.jobs.list(**filters)]

    assert ids(labels={"team": "a=b", "run": "1"}) == [wanted.id]
    assert ids(method="full") == [other.id]
    assert ids(status=JobStatus.QUEUED) == [wanted.id]
    assert ids(status=[JobStatus.QUEUED, JobStatus.PAUSED]) == [other.id, wanted.id]
    assert ids(created_after=other.created_at) == [other.id]
    assert ids(created_before=wanted.created_at + timedelta(microseconds=1)) == [wanted.id]


def test_a_wrong_spec_is_an_error_with_its_fields(client: Client, document: dict[str, Any]) -> None:
    document["training"] = {"steps": 0}
    with pytest.raises(ApiError) as raised:
        client.jobs.create(document)
    assert (raised.value.status, raised.value.code) == (422, "invalid_spec")
    assert raised.value.errors == [
        FieldProblem(path="training.steps", message="must be at least 1; got 0")
    ]


def test_a_job_is_forked_with_changes(client: Client, job: Job) -> None:
    fork = client.jobs.fork(job.id, changes={"name": "longer", "training": {"steps": 200}})
    assert (fork.name, fork.forked_from, fork.spec.training.steps) == ("longer", job.id, 200)
    with pytest.raises(ApiError, match="final"):
        client.jobs.fork(job.id, source="final")


def test_a_sweep_makes_a_job_for_each_method(client: Client, document: dict[str, Any]) -> None:
    sweep = client.sweeps.create({"base": document, "grid": {"method": ["full", "lora"]}})
    assert [one.changes for one in sweep.jobs] == [{"method": "full"}, {"method": "lora"}]
    assert [one.id for one in client.sweeps.list()] == [sweep.id]
    client.sweeps.cancel(sweep.id)
    assert client.sweeps.get(sweep.id).counts[JobStatus.CANCELLED] == 2


def test_generated_text_is_waited_for(
    client: Client, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    generator = threading.Thread(target=play_generator, args=(backends,))
    generator.start()
    done = client.jobs.generate(running.id, {"prompt": "In the beginning"})
    generator.join()
    assert done.result is not None
    assert done.result.text == " was"
    assert list(client.jobs.generations(running.id)) == [done]


def test_an_estimate_queues_nothing(client: Client, document: dict[str, Any]) -> None:
    on_one, on_another = (client.jobs.estimate(document, gpu=gpu) for gpu in ("h100", "a100_80gb"))
    assert on_one.estimate is not None
    assert on_one.estimate != on_another.estimate
    assert list(client.jobs.list()) == []


def test_a_service_that_does_not_answer_is_unreachable() -> None:
    with Client(NOWHERE, retries=0) as client:
        with pytest.raises(Unreachable, match="does not answer"):
            client.jobs.get("job_1")
        with pytest.raises(Unreachable):
            list(client.jobs.stream("job_1"))


def test_a_wait_ends_with_the_job(client: Client, backends: Backends, running: Job) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    assert client.jobs.wait(running.id).status is JobStatus.SUCCEEDED


def test_the_address_and_the_key_come_from_the_environment(
    settings: Settings, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(backends, Scope.READ)
    strict = settings.model_copy(update={"authentication": "required"})
    with closing(open_backends(strict)) as guarded, serving(guarded) as url:
        monkeypatch.setenv("RELORA_URL", url)
        with Client() as nobody, pytest.raises(ApiError, match="needs an API key"):
            next(nobody.jobs.list())
        monkeypatch.setenv("RELORA_API_KEY", key.key)
        with Client() as somebody:
            assert list(somebody.jobs.list()) == []
            with pytest.raises(ApiError) as raised:
                somebody.jobs.create({})
        assert raised.value.code == "scope_missing"


def test_keys_projects_and_secrets_are_made_and_listed(client: Client) -> None:
    client.projects.create("speech", quotas={"gpus": 8})
    client.projects.change("speech", quotas={"queued_jobs": 5})
    report = client.projects.get("speech")
    assert (report.quotas.gpus, report.quotas.queued_jobs, report.usage.gpus) == (8, 5, 0)
    assert [project.name for project in client.projects.list()] == ["default", "speech"]
    key = client.keys.create("nightly", scope="read", project="speech")
    assert key.key.startswith(client.keys.get(key.id).prefix)
    client.keys.revoke(key.id)
    assert list(client.keys.list(project="speech")) == []
    (listed,) = client.keys.list(project="speech", revoked=True)
    assert listed.revoked_at is not None
    client.secrets.put("hf", "hf_0123")
    assert [secret.name for secret in client.secrets.list()] == ["hf"]
    client.secrets.delete("hf")
    assert list(client.secrets.list()) == []


def test_what_the_service_offers_is_listed(client: Client, job: Job) -> None:
    assert "llama_130m" in {preset.name for preset in client.presets.list()}
    assert client.presets.get("llama_130m").config["model_type"] == "llama"
    recipe = next(client.recipes.list())
    assert client.recipes.get(recipe.name) == recipe
    assert [(waiting.position, waiting.job_id) for waiting in client.queue.list()] == [(1, job.id)]
    assert client.queue.get().counts[JobStatus.QUEUED] == 1
    assert list(client.workers.list()) == []


def test_curves_and_logs_are_read(client: Client, backends: Backends, running: Job) -> None:
    (curve,) = client.jobs.metrics(running.id, names=["loss"], max_points=10).curves
    assert (curve.name, curve.steps, curve.values) == ("loss", [1], [4.0])
    (both,) = client.jobs.metrics_of([running.id], names=["loss"], max_points=10).items
    assert (both.job_id, both.curves) == (running.id, [curve])
    assert client.jobs.metrics_csv(running.id, names=["loss"]) == "step,loss\n1,4.0\n"
    backends.logs.append(running.id, 1, 0, b"one\ntwo\x0cthree\n")
    assert client.jobs.logs(running.id, tail=1) == "two\x0cthree\n"
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    assert "".join(client.jobs.stream_logs(running.id)) == "one\ntwo\x0cthree\n"
