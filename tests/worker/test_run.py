"""Attempts in this process. `test_tasks.py` runs them in a Celery worker."""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from jobs.backends import Backends, open_backends
from jobs.schemas.events import JobRetrying, JobWarned
from jobs.schemas.job import Job
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from tests.fixtures.disks import MakeDisk, fill
from tests.worker.attempts import (
    LONG,
    SCRIPTED,
    attempt,
    attempt_in_background,
    reported_steps,
    saved_steps,
    starts,
)
from tests.worker.conftest import MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.processes import ranks, trainers
from tests.worker.scripted_trainer import ScriptedLauncher, weights
from worker.attempt import clock
from worker.attempt.workdir import Workdir
from worker.launchers.launcher import TrainerProcess
from worker.launchers.process import TiedProcess
from worker.launchers.torchrun import Torchrun
from worker.node.health import Health
from worker.run import run

pytestmark = pytest.mark.integration


@pytest.mark.slow
def test_a_job_succeeds_and_its_files_are_what_the_list_says(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    job = attempt(backends, backends.store.create(make_spec()).id, launcher=Torchrun())

    files = backends.store.artifacts(job.id)
    storage = backends.storage_for(job)
    assert job.status is JobStatus.SUCCEEDED
    assert (job.progress.step, job.progress.restarts) == (60, 2)
    assert {file.kind for file in files} == {"checkpoint", "final", "log", "report"}
    assert {file.step for file in files if file.kind == "checkpoint"} == {40, 60}
    assert [stored.key for stored in storage.list("")] == sorted(file.key for file in files)
    for file in files:
        storage.download(file.key, tmp_path / file.path)
        content = (tmp_path / file.path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    assert not (backends.settings.scratch_dir / job.id).exists()


def test_a_job_is_cancelled_with_its_last_step_saved(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(steps=LONG))

    with attempt_in_background(backends, job.id):
        backends.store.request_action(job.id, RequestedAction.CANCEL)

    job = backends.store.get(job.id)
    assert job.status is JobStatus.CANCELLED
    stored = {file.step for file in backends.store.artifacts(job.id) if file.step}
    assert max(stored) == saved_steps(backends, job.id)[-1]


@pytest.mark.slow
def test_a_paused_job_goes_on_where_it_was_and_so_do_its_curves(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    database = tmp_path / "mlflow.db"
    trackers = [{"name": "tensorboard"}, {"name": "mlflow", "uri": f"sqlite:///{database}"}]
    job = backends.store.create(make_spec(steps=200, checkpoint_every=10, trackers=trackers))
    with attempt_in_background(backends, job.id, launcher=ScriptedLauncher(step_seconds=0.1)):
        backends.store.request_action(job.id, RequestedAction.PAUSE)
    assert backends.store.get(job.id).status is JobStatus.PAUSED
    paused_at = saved_steps(backends, job.id)[-1]

    backends.store.resume(job.id)
    job = attempt(backends, job.id, launcher=ScriptedLauncher(step_seconds=0))

    assert (job.status, job.progress.step) == (JobStatus.SUCCEEDED, 200)
    assert starts(backends, job.id) == [None, paused_at]
    assert reported_steps(backends, job.id) == list(range(10, 201, 10))
    with closing(sqlite3.connect(database)) as tracked:
        drawn = "SELECT step FROM metrics WHERE key = 'train/loss' ORDER BY step"
        assert [step for (step,) in tracked.execute(drawn)] == list(range(10, 201, 10))
        assert list(tracked.execute("SELECT name, status FROM runs")) == [(job.name, "FINISHED")]
    paths = [file.path for file in backends.store.artifacts(job.id)]
    assert len([path for path in paths if path.startswith("reports/tensorboard/")]) == 2


def test_the_trainer_finds_secrets_in_its_environment_and_they_are_nowhere_else(
    backends: Backends, make_spec: MakeSpec
) -> None:
    value = "hf_0123456789"
    backends.secrets.put("default", "my-token", value)
    job = backends.store.create(make_spec(steps=LONG, secrets={"HF_TOKEN": "my-token"}))

    with attempt_in_background(backends, job.id):
        (rank,) = ranks(backends.settings.data_dir)
        variables = Path(f"/proc/{rank}/environ").read_bytes().split(b"\0")
        assert f"HF_TOKEN={value}".encode() in variables
        assert not [one for one in variables if one.startswith(b"RELORA_")]
        backends.store.request_action(job.id, RequestedAction.CANCEL)

    files = [file for file in backends.settings.data_dir.rglob("*") if file.is_file()]
    assert [file for file in files if value.encode() in file.read_bytes()] == []


def test_a_job_whose_secret_was_deleted_fails_and_says_which(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(secrets={"HF_TOKEN": "my-token"}))
    job = attempt(backends, job.id)
    assert job.status is JobStatus.FAILED
    assert job.error == JobError(
        code="secret_not_found",
        message="There is no secret 'my-token'; store it under this name first.",
    )


def store_spec(backends: Backends, job: Job, **changes: Any) -> None:
    """Change the stored spec, as if another version had accepted it."""
    document = {**job.spec.model_dump(mode="json"), **changes}
    with sqlite3.connect(backends.settings.data_dir / "relora.db") as database:
        database.execute("UPDATE jobs SET spec = ? WHERE id = ?", (json.dumps(document), job.id))


def test_a_job_that_was_accepted_before_a_bound_came_runs_to_its_end(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec(steps=20))
    training = {**job.spec.training.model_dump(), "spike_window": 10**6, "max_rewinds": 10**6}
    labels = {f"label-{number}": "x" * 1000 for number in range(100)}
    store_spec(backends, job, training=training, labels=labels)
    job = attempt(backends, job.id)
    assert (job.status, job.error, job.progress.step) == (JobStatus.SUCCEEDED, None, 20)
    assert job.spec.training.spike_window == 10**6


def test_a_job_whose_spec_this_version_cannot_read_fails_and_says_what_is_wrong(
    backends: Backends, make_spec: MakeSpec
) -> None:
    job = backends.store.create(make_spec())
    store_spec(backends, job, training={"steps": "many", "later": True})
    job = attempt(backends, job.id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "spec_unreadable"
    assert "training.steps: must be a whole number" in job.error.message
    backends.store.delete(job.id)


def test_a_worker_without_the_key_leaves_the_job_to_another(
    backends: Backends, make_spec: MakeSpec
) -> None:
    backends.secrets.put("default", "my-token", "hf_0123456789")
    job = backends.store.create(make_spec(secrets={"HF_TOKEN": "my-token"}))
    without = backends.settings.model_copy(update={"secret_keys": None})
    with closing(open_backends(without)) as keyless:
        job = attempt(keyless, job.id)
    assert job.status is JobStatus.QUEUED
    retrying = backends.store.events(job.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert retrying.reason.code == "secrets_unavailable"


def test_a_worker_that_must_leave_does_not_begin(backends: Backends, make_spec: MakeSpec) -> None:
    job = attempt(backends, backends.store.create(make_spec()).id, shutting_down=lambda: True)

    assert job.status is JobStatus.QUEUED
    assert not backends.store.events(job.id, types={"job.started"})


def test_a_job_that_was_taken_over_is_left_alone(backends: Backends, make_spec: MakeSpec) -> None:
    job = backends.store.create(make_spec(steps=LONG))

    with attempt_in_background(backends, job.id):
        error = JobError(code="worker_lost", message="no sign of life")
        backends.attempts.retry(job.id, 1, error)
        taken = backends.attempts.claim(job.id, worker="another", lease_seconds=60)

    assert trainers(backends.settings.data_dir) == []
    left = backends.store.get(job.id)
    assert taken is not None
    assert (left.status, left.attempt) == (JobStatus.STARTING, 2)
    assert left.worker == "another"


def test_a_model_that_cannot_be_uploaded_is_kept(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    spec = make_spec(output={"uri": f"file://{tmp_path}/file/folder"}, retries={"max_attempts": 1})

    job = attempt(backends, backends.store.create(spec).id)

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "model_not_uploaded"
    folder = backends.settings.scratch_dir / job.id / "attempt-1"
    assert str(folder) in job.error.message
    trained = weights(job.spec.training.seed, steps=60)
    assert (folder / "final" / "model.safetensors").read_text() == trained


@pytest.mark.slow
def test_data_that_is_not_there_fails_the_job_at_once(
    backends: Backends, make_spec: MakeSpec, tmp_path: Path
) -> None:
    data = {"train": {"uri": f"{tmp_path}/*.jsonl"}}

    job = attempt(
        backends, backends.store.create(make_spec(data=data)).id, launcher=ForkedLauncher()
    )

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "data_error"
    assert "no file matches" in job.error.message
    (log,) = (file for file in backends.store.artifacts(job.id) if file.kind == "log")
    said = b"".join(backends.storage_for(job).read(log.key)).decode()
    assert "no file matches" in said
    assert "Traceback" not in said


def test_an_attempt_that_a_full_disk_ends_is_not_counted(
    backends: Backends, make_spec: MakeSpec, make_disk: MakeDisk
) -> None:
    disk = make_disk()
    fill(disk)
    sick = replace(backends, settings=backends.settings.model_copy(update={"data_dir": disk}))

    job = attempt(sick, backends.store.create(make_spec(retries={"max_attempts": 1})).id)

    assert job.status is JobStatus.QUEUED
    retrying = backends.store.events(job.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert (retrying.failed_attempts, retrying.reason.code) == (0, "node_unhealthy")
    assert "No space left on device" in retrying.reason.message


class CrashingLauncher:
    """A launcher of a program that prints a line and fails."""

    def launch(
        self, workdir: Workdir, *, environ: Mapping[str, str], **_: object
    ) -> TrainerProcess:
        command = [sys.executable, "-c", "print('no luck'); raise SystemExit(1)"]
        return TiedProcess(command, environ=environ, cwd=workdir.empty, log=workdir.log)


def test_an_attempt_that_ends_on_a_sick_node_is_not_counted(
    backends: Backends, make_spec: MakeSpec
) -> None:
    settings = backends.settings.model_copy(update={"min_free_disk_bytes": 2**60})
    sick = replace(backends, settings=settings)

    job = attempt(sick, backends.store.create(make_spec()).id, launcher=CrashingLauncher())

    assert job.status is JobStatus.QUEUED
    retrying = backends.store.events(job.id)[-1]
    assert isinstance(retrying, JobRetrying)
    assert retrying.failed_attempts == 0
    assert "RELORA_MIN_FREE_DISK_BYTES" in retrying.reason.message
    assert "no luck" in retrying.reason.message


@dataclass
class CountingLauncher:
    """A launcher of the scripted trainer that records the number of processes."""

    num_processes: list[int] = field(default_factory=list)

    def launch(self, workdir: Workdir, *, num_processes: int, **options: Any) -> TrainerProcess:
        self.num_processes.append(num_processes)
        return SCRIPTED.launch(workdir, **options)


@pytest.mark.parametrize(
    ("num_gpus", "all_processes", "expected"), [(0, False, 1), (0, True, 2), (2, False, 2)]
)
def test_without_gpus_one_process_trains_unless_the_operator_wants_all(
    backends: Backends,
    make_spec: MakeSpec,
    num_gpus: int,
    all_processes: bool,  # noqa: FBT001 # a parameter of the test
    expected: int,
) -> None:
    changes = {"processes_without_gpus": all_processes}
    mine = replace(backends, settings=backends.settings.model_copy(update=changes))
    job = backends.store.create(make_spec(resources={"gpus": 2}))
    claimed = backends.attempts.claim(job.id, worker="w", lease_seconds=60, gpus=num_gpus)
    assert claimed is not None
    launcher, health = CountingLauncher(), Health(mine.settings, num_gpus=num_gpus)
    run(
        claimed,
        mine,
        launcher=launcher,
        claimed_at=clock.now(),
        shutting_down=lambda: False,
        health=health,
    )

    assert launcher.num_processes == [expected]
    assert backends.store.get(job.id).status is JobStatus.SUCCEEDED
    warnings = backends.store.events(job.id, types={"job.warning"})
    assert [event.code for event in warnings if isinstance(event, JobWarned)] == (
        ["no_gpus"] if expected == 1 else []
    )
