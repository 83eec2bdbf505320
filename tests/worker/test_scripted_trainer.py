"""The trainer that other tests rely on: in an attempt it is as good as the real one."""

from pathlib import Path
from threading import Thread

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus, RequestedAction
from relora_core.events import StepFinished
from tests.worker.conftest import MakeSpec
from tests.worker.processes import wait_until
from tests.worker.scripted_trainer import in_place_of_torchrun, weights
from worker.attempt import clock
from worker.run import run

pytestmark = pytest.mark.integration


def attempt(backends: Backends, job_id: str) -> None:
    claimed_at = clock.now()
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=6)
    assert job is not None
    run(job, backends, claimed_at=claimed_at, leaving=lambda: False)


def steps(backends: Backends, job_id: str) -> list[int]:
    events = backends.store.events(job_id, types={"train.step"}, limit=1000)
    return [event.step for event in events if isinstance(event, StepFinished)]


@pytest.mark.slow
def test_a_run_that_was_paused_ends_with_the_weights_of_one_that_was_not(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job = backends.store.create(make_spec(steps=100, checkpoint_every=10))
    with in_place_of_torchrun(step_seconds=0.2):
        thread = Thread(target=attempt, args=(backends, job.id))
        thread.start()
        wait_until(lambda: bool(steps(backends, job.id)))
        backends.store.request_action(job.id, RequestedAction.PAUSE)
        thread.join()
        assert backends.store.get(job.id).status is JobStatus.PAUSED
        backends.store.resume(job.id)
    with in_place_of_torchrun(step_seconds=0):
        attempt(backends, job.id)

    job = backends.store.get(job.id)
    assert job.status is JobStatus.SUCCEEDED
    assert steps(backends, job.id) == list(range(10, 101, 10))
    (model,) = (file for file in backends.store.artifacts(job.id) if file.kind == "final")
    backends.storage_for(job).download(model.key, tmp_path / "model")
    assert (tmp_path / "model").read_text() == weights(seed=job.spec.train.training.seed, steps=100)
