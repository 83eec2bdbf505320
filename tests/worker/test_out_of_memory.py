"""A trainer that the kernel kills because its container has no more memory."""

import subprocess
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.events import JobRetrying
from jobs.schemas.status import JobStatus, RequestedAction
from tests.fixtures.cgroups import MemoryCgroup
from tests.worker.attempts import LONG, attempt_in_background, saved_steps, starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import ranks, wait_until
from tests.worker.scripted_trainer import ScriptedLauncher

pytestmark = pytest.mark.integration


def test_a_trainer_that_ran_out_of_memory_says_so_and_goes_on_from_its_newest_checkpoint(
    backends: Backends, make_spec: MakeSpec, memory_cgroup: MemoryCgroup
) -> None:
    job_id = backends.store.create(make_spec(steps=LONG)).id
    launcher = ScriptedLauncher(wrap=memory_cgroup.inside)
    with attempt_in_background(backends, job_id, launcher=launcher):
        (trainer,) = ranks(backends.settings.data_dir)
        Path(f"/proc/{trainer}/oom_score_adj").write_text("1000")  # it is the first to be killed
        memory_cgroup.allow_no_more()
        subprocess.run(memory_cgroup.allocate_until_one_is_killed(), check=True)

    assert backends.store.get(job_id).status is JobStatus.QUEUED
    retrying = backends.store.events(job_id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert (retrying.failed_attempts, retrying.reason.code) == (1, "trainer_crashed")
    assert "the machine or its container ran out of memory" in retrying.reason.message

    saved = saved_steps(backends, job_id)[-1]
    with attempt_in_background(backends, job_id):
        wait_until(lambda: len(starts(backends, job_id)) == 2)
        backends.store.request_action(job_id, RequestedAction.CANCEL)
    assert starts(backends, job_id) == [None, saved]
