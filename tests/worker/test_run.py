import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from jobs.backends import Backends
from jobs.models import Artifact, Job
from jobs.status import JobStatus
from tests.worker.conftest import MakeSpec
from worker.run import run

pytestmark = pytest.mark.integration


def attempt(backends: Backends, job_id: str, leaving: Callable[[], bool] = lambda: False) -> Job:
    """Claim the job, run it to its next status."""
    claimed_at = time.monotonic()
    job = backends.store.claim(job_id, worker="w", lease_seconds=backends.settings.lease_seconds)
    assert job is not None
    run(job, backends, claimed_at=claimed_at, leaving=leaving)
    return backends.store.get(job_id)


def content(backends: Backends, job: Job, file: Artifact) -> bytes:
    return b"".join(backends.storage_for(job).read(file.path))


def test_a_job_succeeds_and_its_files_are_what_the_list_says(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job = attempt(backends, backends.store.create(make_spec()).id)

    files = backends.store.artifacts(job.id)
    assert job.status is JobStatus.SUCCEEDED
    assert {file.kind for file in files} == {"checkpoint", "final", "log"}
    assert {file.step for file in files if file.kind == "checkpoint"} == {40, 60}
    for file in files:
        data = content(backends, job, file)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    assert {stored.key for stored in backends.storage_for(job).list("")} == {
        file.path for file in files
    }
    for file in files:
        if file.kind == "final":
            backends.storage_for(job).download(file.path, tmp_path / file.path)
    AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    assert not (backends.settings.scratch_dir / job.id).exists()
