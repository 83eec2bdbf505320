"""The fake trainer of other tests: in an attempt it behaves like the real one."""

from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus, RequestedAction
from tests.worker.attempts import attempt, attempt_in_background, reported_steps
from tests.worker.conftest import MakeSpec
from tests.worker.scripted_trainer import ScriptedLauncher, weights

pytestmark = pytest.mark.integration


@pytest.mark.slow
def test_a_run_that_was_paused_ends_with_the_weights_of_one_that_was_not(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job = backends.store.create(make_spec(steps=100, checkpoint_every=10))
    with attempt_in_background(backends, job.id, launcher=ScriptedLauncher(step_seconds=0.2)):
        backends.store.request_action(job.id, RequestedAction.PAUSE)
    assert backends.store.get(job.id).status is JobStatus.PAUSED
    backends.store.resume(job.id)
    attempt(backends, job.id, launcher=ScriptedLauncher(step_seconds=0))

    job = backends.store.get(job.id)
    assert job.status is JobStatus.SUCCEEDED
    assert reported_steps(backends, job.id) == list(range(10, 101, 10))
    (model,) = (file for file in backends.store.artifacts(job.id) if file.kind == "final")
    backends.storage_for(job).download(model.key, tmp_path / "model")
    assert (tmp_path / "model").read_text() == weights(seed=job.spec.train.training.seed, steps=100)
