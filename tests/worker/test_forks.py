"""A job begins with what another saved, fetched from the storage by its worker."""

from typing import Any

import pytest

from jobs.backends import Backends
from jobs.forks import Fork, forked
from jobs.models import Job, JobSpec
from jobs.status import JobStatus
from relora_core.errors import ModelError
from relora_core.events import Evaluated
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.test_run import attempt
from worker.staging import stage

pytestmark = pytest.mark.integration


def fork(backends: Backends, job: Job, source: str, **changes: Any) -> Job:
    training = {"steps": 4}
    document = forked(
        job, Fork.model_validate({"from": source, "changes": {"training": training, **changes}})
    )
    return attempt(backends, backends.store.create(JobSpec.model_validate(document)).id)


def losses(backends: Backends, job: Job) -> list[float]:
    events = backends.store.events(job.id, types={"train.eval"})
    return [event.loss for event in events if isinstance(event, Evaluated)]


def test_forks_go_on_from_a_model_and_from_a_checkpoint(
    backends: Backends, make_spec: MakeSpec
) -> None:
    parent = attempt(backends, backends.store.create(make_spec(steps=40)).id)
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
    method = {"name": "lora", "rank": 4, "warm_start_from": "job://job_gone/final"}
    with pytest.raises(ModelError, match="job://job_gone/final names files that are no longer"):
        stage(begin_attempt(make_spec(method=method)))
