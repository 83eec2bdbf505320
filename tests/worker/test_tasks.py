"""A Celery worker as a separate process on a real Valkey: how it shuts down and how it dies."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.events import JobQueued, JobStarted
from jobs.schemas.status import JobStatus
from jobs.schemas.workers import WorkerStatus
from jobs.settings import Settings
from tests.fixtures.disks import MakeDisk, fill
from tests.worker.attempts import saved_steps
from tests.worker.conftest import MakeSpec
from tests.worker.processes import WorkerProcess, trainers, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEPS = 200
SLOW, FAST = "0.1", "0.001"  # SCRIPTED_STEP_SECONDS: a run takes 20 s or 0.2 s
SCRIPTED = "tests.worker.scripted_worker"  # its trainers need no torch

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "relora", broker_url=valkey_url, lease_seconds=4)


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    workers: list[WorkerProcess] = []

    def start(app: str = "worker.tasks", **changes: object) -> WorkerProcess:
        own, log = settings.model_copy(update=changes), tmp_path / f"worker-{len(workers)}.log"
        workers.append(WorkerProcess(own, log, app=app))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


def start_on(disk: Path, settings: Settings, start_worker: StartWorker) -> None:
    """Start a worker whose own files are on the disk; database and storage are elsewhere."""
    start_worker(
        app=SCRIPTED,
        data_dir=disk,
        database_url=settings.database_url,
        storage_url=settings.storage_url,
        min_free_disk_bytes=0,
    )


def status(backends: Backends, job_id: str) -> JobStatus:
    return backends.store.progress(job_id).status


def starts(backends: Backends, job_id: str) -> list[tuple[int | None, int | None]]:
    """Return the attempts whose trainer ran, and the step that each resumed from."""
    events = backends.store.events(job_id, types={"job.started"})
    return [
        (event.attempt, event.resumed_from) for event in events if isinstance(event, JobStarted)
    ]


def test_a_worker_logs_its_job_and_attempt_in_each_line_of_json(
    backends: Backends,
    make_spec: MakeSpec,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", FAST)
    job_id = backends.store.create(make_spec(steps=STEPS)).id
    dispatch(backends.outbox, backends.queue)
    worker = start_worker(app=SCRIPTED, log_format="json")
    wait_until(lambda: status(backends, job_id) is JobStatus.SUCCEEDED)
    assert worker.terminate() == 0
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    (begun,) = [line for line in lines if line["message"].endswith("attempt 1 begins")]
    assert (begun["job_id"], begun["attempt"]) == (job_id, 1)
    assert "job_id" not in lines[0]  # from before the job
    assert " INFO" not in worker.log


def test_a_worker_that_is_told_to_leave_hands_its_job_to_the_next(
    backends: Backends,
    make_spec: MakeSpec,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", SLOW)
    job_id = backends.store.create(make_spec(steps=STEPS, checkpoint_every=10)).id
    dispatch(backends.outbox, backends.queue)
    backends.queue.send(job_id)  # a second message, for a job that is taken
    first = start_worker(app=SCRIPTED)
    wait_until(lambda: bool(saved_steps(backends, job_id)))

    assert first.terminate() == 0
    assert status(backends, job_id) is JobStatus.QUEUED
    assert trainers(backends.settings.data_dir) == []
    left = backends.store.events(job_id)[-1]
    assert isinstance(left, JobQueued)
    assert left.reason == "worker_left"
    stopped_at = saved_steps(backends, job_id)[-1]

    dispatch(backends.outbox, backends.queue)
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", FAST)
    start_worker(app=SCRIPTED)
    wait_until(lambda: status(backends, job_id) is JobStatus.SUCCEEDED)
    assert starts(backends, job_id) == [(1, None), (2, stopped_at)]


def test_a_worker_leaves_a_job_to_those_that_have_its_gpus(
    backends: Backends,
    make_spec: MakeSpec,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU-1, NVIDIA L4, 23034'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    big = backends.store.create(make_spec(resources={"gpus": 4})).id
    dispatch(backends.outbox, backends.queue)  # for any worker, since there is none yet
    start_worker(app="tests.worker.pretended_gpus")
    wait_until(lambda: bool(backends.outbox.unsent()))  # to send its message again
    small = backends.store.create(make_spec()).id
    dispatch(backends.outbox, backends.queue)

    wait_until(lambda: status(backends, small) is JobStatus.SUCCEEDED)
    assert status(backends, big) is JobStatus.QUEUED
    assert backends.queue.depth(gpus=4) == 1
    assert (
        backends.store.progress(big).unschedulable_reason
        == "no worker has 4 GPUs; the largest has 1"
    )


def test_a_worker_for_one_job_ends_after_it(
    backends: Backends, make_spec: MakeSpec, start_worker: StartWorker
) -> None:
    first, second = (backends.store.create(make_spec(resources={"gpu": "h100"})) for _ in range(2))
    dispatch(backends.outbox, backends.queue)
    worker = start_worker(app=SCRIPTED, one_job=True, gpu_class="h100")
    assert worker.wait() == 0
    assert status(backends, first.id) is JobStatus.SUCCEEDED
    assert status(backends, second.id) is JobStatus.QUEUED
    assert backends.queue.depth(gpu_class="h100") == 1


def test_beside_a_worker_with_a_full_disk_no_job_loses_an_attempt(
    backends: Backends, make_spec: MakeSpec, start_worker: StartWorker, make_disk: MakeDisk
) -> None:
    disk = make_disk(size="300m")
    fill(disk)
    start_on(disk, backends.settings, start_worker)
    ids = [backends.store.create(make_spec()).id for _ in range(3)]
    dispatch(backends.outbox, backends.queue)
    wait_until(lambda: problems(backends) == {WorkerStatus.UNHEALTHY: f"cannot write into {disk}"})
    wait_until(lambda: bool(backends.outbox.unsent()))  # to send its message again

    start_worker(app=SCRIPTED)
    wait_until(
        lambda: {status(backends, job_id) for job_id in ids} == {JobStatus.SUCCEEDED},
        meanwhile=lambda: dispatch(backends.outbox, backends.queue),
    )
    assert [backends.store.get(job_id).attempt for job_id in ids] == [1, 1, 1]

    (disk / "filler").unlink()
    wait_until(lambda: problems(backends) == {WorkerStatus.IDLE: ""})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret_keys": "mistyped"}, "RELORA_SECRET_KEYS"),
        ({"database_url": "sqlite:////dev/null/none.db"}, "worker cannot start"),
    ],
)
def test_a_worker_that_cannot_work_ends_and_says_why(
    start_worker: StartWorker, changes: dict[str, object], said: str
) -> None:
    worker = start_worker(**changes)
    assert worker.wait() == 1
    assert said in worker.log.splitlines()[-1]


def test_a_worker_whose_gpus_cannot_be_listed_ends_and_says_what_to_do(
    start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'Unable to determine the device handle'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    worker = start_worker()
    assert worker.wait() == 1
    assert "set CUDA_VISIBLE_DEVICES='' to train on the CPU" in worker.log.splitlines()[-1]


def problems(backends: Backends) -> dict[WorkerStatus, str]:
    """Return the problems of the workers, by status."""
    found = backends.workers.list(project="default")
    return {one.status: (one.problem or "").partition("/scratch:")[0] for one in found}
