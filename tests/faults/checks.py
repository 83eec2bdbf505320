"""What holds of a job that has succeeded, whatever failed while it ran."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from jobs.backends import Backends
from jobs.garbage.storage import collect_garbage
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from relora_core.events import StepFinished
from relora_core.workdir.files import FINAL
from tests.relora_core.processes import assert_same_tensors


def check_nothing_is_lost(backends: Backends, job_id: str, folder: Path, *, twin: Path) -> None:
    """Check a job that failed in part and then succeeded.

    Download its files into `folder`. `twin` has the files of a job with the same spec that nothing
    disturbed.
    """
    job = backends.store.get(job_id)
    check_succeeded(backends, job, folder)
    assert_same_tensors(twin / FINAL, folder / FINAL)
    list(collect_garbage(backends, dry_run=False))
    assert unlisted(backends, [job_id]) == []


def check_succeeded(backends: Backends, job: Job, folder: Path) -> None:
    """Check the status, files and steps of a job. Download its files into `folder`."""
    assert job.status is JobStatus.SUCCEEDED, (job.id, job.error)
    _check_files(backends, job, folder)
    _check_steps(backends, job)


def _check_files(backends: Backends, job: Job, folder: Path) -> None:
    """Check that each listed file has the listed bytes."""
    storage = backends.storage_for(job)
    for listed in backends.store.artifacts(job.id):
        file = folder / listed.path
        storage.download(listed.key, file)
        content = file.read_bytes()
        told = (listed.size, listed.sha256)
        assert (len(content), hashlib.sha256(content).hexdigest()) == told, (job.id, listed.path)


def _check_steps(backends: Backends, job: Job) -> None:
    """Check that each step's event is stored, once an attempt, and each step's point once."""
    training = job.spec.train.training
    assert training.steps is not None
    expected = list(range(training.log_every, training.steps + 1, training.log_every))
    events = backends.store.events(job.id, types={"train.step"}, limit=10_000)
    steps = Counter(
        (event.attempt, event.step) for event in events if isinstance(event, StepFinished)
    )
    assert set(steps.values()) == {1}, job.id
    assert sorted({step for _, step in steps}) == expected, job.id
    (curve,) = backends.metrics.get(job.id, names={"loss"}, max_points=10_000).curves
    assert curve.steps == expected, job.id


def unlisted(backends: Backends, ids: Iterable[str]) -> list[str]:
    """Return the files of jobs in the storage that no list names."""
    listed = {
        f"jobs/{job_id}/{file.key}" for job_id in ids for file in backends.store.artifacts(job_id)
    }
    return [file.key for file in backends.own_storage().list("jobs") if file.key not in listed]
