"""The data in the database before the measurements, written by the stores' own functions."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import update

from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.database.tables.jobs import DEFAULT_PROJECT, jobs
from jobs.schemas.events import JobQueued
from jobs.schemas.ids import new_job_id
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from jobs.store.transitions import add, announce
from relora_core.events import StepFinished

METRICS_A_STEP = 5  # points that one step adds to a job's curves
LINES_AT_ONCE = 500
WAITING_SHARE = 10  # one of this many stored jobs is queued, the others are finished
LABELS = ("speech", "vision", "text", "code")


def prepare(folder: Path, *, valkey_port: int) -> Settings:
    """Make the empty database of a service whose data is in `folder`. Return its settings."""
    settings = Settings(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'relora.db'}",
        broker_url=f"redis://127.0.0.1:{valkey_port}/0",
        storage_url=(folder / "storage").as_uri(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    return settings


def running_job(backends: Backends) -> Job:
    job = backends.store.create(spec("running"))
    claimed = backends.attempts.claim(job.id, worker="bench", lease_seconds=86_400)
    assert claimed is not None
    backends.attempts.started(job.id, 1, resumed_from=None)
    return backends.store.get(job.id)


def job_with_metrics(backends: Backends, points: int) -> Job:
    """Store a running job with this number of points in its curves."""
    job = running_job(backends)
    steps = list(_steps(points // METRICS_A_STEP))
    for start in range(0, len(steps), LINES_AT_ONCE):
        lines = list(enumerate(steps[start : start + LINES_AT_ONCE], start + 1))
        backends.attempts.append(job.id, 1, lines)
    return job


def many_jobs(backends: Backends, count: int) -> None:
    """Store jobs in one transaction, each as `submit` would write it.

    Most of them are finished afterwards.
    """
    with backends.engine.begin() as connection:
        for number in range(count):
            some = spec(f"run-{number}", team=LABELS[number % len(LABELS)])
            row = add(connection, new_job_id(), some, project=DEFAULT_PROJECT)
            announce(connection, row, JobQueued(reason="submitted"))
            if number % WAITING_SHARE:
                over = update(jobs).where(jobs.c.id == row.id)
                now = datetime.now(UTC)
                connection.execute(over.values(status=JobStatus.SUCCEEDED, finished_at=now))


def job_with_model(backends: Backends, settings: Settings, size: int) -> Job:
    """Store a job with a merged model of `size` bytes, in a sparse file that uses no disk space."""
    job = running_job(backends)
    folder = settings.data_dir / "storage" / "jobs" / job.id / "final"
    folder.mkdir(parents=True)
    files = {"config.json": 1000, "model.safetensors": size - 2000, "tokenizer.json": 1000}
    for name, length in files.items():
        with (folder / name).open("wb") as file:
            file.truncate(length)
    backends.attempts.add_artifacts(job.id, 1, [_artifact(*item) for item in files.items()])
    return job


def open_prepared(settings: Settings) -> closing[Backends]:
    return closing(open_backends(settings))


def spec(name: str, **labels: str) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": name,
            "labels": labels,
            "model": {"preset": "llama_9m"},
            "data": {"train": {"uri": "file:///corpus/*.txt"}},
            "training": {"steps": 10_000_000},
        }
    )


def step_finished(step: int, loss: float) -> StepFinished:
    return StepFinished(
        step=step,
        total_steps=10_000_000,
        phase="low_rank",
        loss=loss,
        learning_rate=1e-3 * loss / 4,
        grad_norm=loss / 8,
        tokens_seen=1000 * step,
        tokens_per_second=500.0 + loss,
        restarts=0,
    )


def _steps(count: int) -> Iterator[StepFinished]:
    noise = random.Random(0)  # noqa: S311 # not used for secrets
    for step in range(1, count + 1):
        yield step_finished(step, 3 + noise.random())


def _artifact(name: str, size: int) -> Artifact:
    return Artifact(
        path=f"final/{name}",
        kind="final",
        step=10,
        size=size,
        sha256="00" * 32,
        created_at=datetime.now(UTC),
    )
