"""Jobs that start from the files of another job, which the worker downloads."""

from pathlib import Path
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.schemas.forks import Fork, forked
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.job_uris import job_uri
from jobs.schemas.status import JobStatus
from relora_core.errors import ModelError
from relora_core.events import Evaluated
from relora_core.workdir.files import checkpoint_path
from tests.jobs.samples import CRASH
from tests.worker.attempts import attempt
from tests.worker.checkpoints import save_checkpoint
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.transfers.test_uploads import steps, stored, upload
from worker.attempt.attempt import Attempt
from worker.transfers.staging import stage

pytestmark = pytest.mark.integration


def fork(backends: Backends, job: Job, source: str, **changes: Any) -> Job:
    training = {"steps": 4}
    document = forked(
        job, Fork.model_validate({"from": source, "changes": {"training": training, **changes}})
    )
    job = backends.store.create(JobSpec.model_validate(document))
    return attempt(backends, job.id, launcher=ForkedLauncher())


def losses(backends: Backends, job: Job) -> list[float]:
    events = backends.store.events(job.id, types={"train.eval"})
    return [event.loss for event in events if isinstance(event, Evaluated)]


@pytest.mark.slow
def test_forks_go_on_from_a_model_and_from_a_checkpoint(
    backends: Backends, make_spec: MakeSpec
) -> None:
    parent = backends.store.create(make_spec(steps=40))
    parent = attempt(backends, parent.id, launcher=ForkedLauncher())
    untrained, trained = losses(backends, parent)[0], losses(backends, parent)[-1]
    assert trained < untrained - 0.1

    from_model = fork(
        backends, parent, "final", method={"name": "full"}, schedule={"warmup_steps": 1}
    )
    from_checkpoint = fork(
        backends,
        parent,
        "checkpoints/step-00000040",
        method={"reset_every": 2},
        schedule={"warmup_steps": 1, "restart_warmup_steps": 1},
    )

    for made in (from_model, from_checkpoint):
        assert (made.status, made.error) == (JobStatus.SUCCEEDED, None)
        assert losses(backends, made)[0] == pytest.approx(trained, abs=0.02)


def test_files_that_are_gone_fail_the_job_with_their_address(
    make_spec: MakeSpec, begin_attempt: BeginAttempt
) -> None:
    parent = begin_attempt()
    upload(parent, save_checkpoint(parent, 20))
    fork = begin_attempt(make_spec(method=warm_start(parent, 20)))
    parent.storage.delete("attempts")
    uri = f"job://{parent.job.id}/checkpoints/step-00000020"
    with pytest.raises(ModelError, match=f"{uri} names files that are no longer"):
        stage(fork)


def test_a_checkpoint_that_a_fork_waits_for_does_not_expire(
    backends: Backends, make_spec: MakeSpec, begin_attempt: BeginAttempt
) -> None:
    parent = begin_attempt()
    upload(parent, save_checkpoint(parent, 20))
    waiting = backends.store.create(make_spec(method=warm_start(parent, 20)))

    upload(parent, *(save_checkpoint(parent, step) for step in (40, 60, 80)))
    assert steps(parent) == {20, 60, 80}
    assert any(key.startswith(checkpoint_path(20)) for key in stored(parent))
    (copy,) = stage(begin_attempt(job_id=waiting.id)).values()
    assert (Path(copy) / "manifest.json").exists()

    backends.attempts.finish(waiting.id, 1, JobStatus.FAILED, error=CRASH)
    upload(parent, save_checkpoint(parent, 100))
    assert steps(parent) == {80, 100}
    assert not any(key.startswith(checkpoint_path(20)) for key in stored(parent))


def warm_start(parent: Attempt, step: int) -> dict[str, Any]:
    uri = job_uri(parent.job.id, checkpoint_path(step))
    return {"name": "lora", "rank": 4, "warm_start_from": uri}
