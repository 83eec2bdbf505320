"""A worker that dies before it has stored all events of its trainer."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.broker.celery_queue import dispatch
from jobs.schemas.events import AnyJobEvent
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    StepFinished,
    TrainFinished,
    from_line,
)
from tests.worker.attempts import starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import scripted_worker, trainers, wait_until
from worker.attempt.workdir import Workdir
from worker.reaper import reap

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STEPS = 120
TRAINING = {"steps": STEPS, "global_batch_size": 4, "precision": "fp32", "log_every": 1}


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(
        data_dir=tmp_path / "node",
        database_url=f"sqlite:///{tmp_path}/relora.db",
        storage_url=f"file://{tmp_path}/storage",
        broker_url=valkey_url,
        lease_seconds=3,
    )


def reported(backends: Backends, job_id: str) -> list[AnyTrainEvent]:
    """Return all events that the trainer of the first attempt has written so far."""
    events = Workdir.of(backends.settings.scratch_dir, job_id, 1).events.read_text()
    return [from_line(line) for line in events.splitlines(keepends=True) if line.endswith("\n")]


def stored(backends: Backends, job_id: str, attempt: int) -> list[AnyJobEvent]:
    """Return the stored events of an attempt, in the form in which its trainer wrote them."""
    return [
        event.model_copy(update={"id": None, "attempt": None})
        for event in backends.store.events(job_id)
        if event.attempt == attempt and event.type.startswith("train.")
    ]


def steps(events: Sequence[AnyJobEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepFinished)]


def place_of(checkpoint: int, lines: list[AnyTrainEvent]) -> int:
    """Return the number of lines up to the report of a checkpoint.

    Return the number of all lines if the trainer was killed before it reported the checkpoint.
    """
    return next(
        (
            place
            for place, event in enumerate(lines, start=1)
            if isinstance(event, CheckpointSaved) and event.step == checkpoint
        ),
        len(lines),
    )


@pytest.mark.parametrize(("last", "node"), [(CheckpointSaved, "another"), (TrainFinished, "node")])
def test_what_a_killed_worker_had_not_stored_is_stored_once_or_reported_again(
    backends: Backends,
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    node: str,
    last: type[CheckpointSaved | TrainFinished],
) -> None:
    monkeypatch.setenv("SCRIPTED_STEP_SECONDS", "0.02")
    job_id = backends.store.create(make_spec(training=TRAINING)).id
    dispatch(backends.outbox, backends.queue)
    with scripted_worker(backends.settings, tmp_path / "first.log") as first:
        wait_until(lambda: bool(backends.store.artifacts(job_id)))  # a checkpoint to resume from
        os.kill(first.pid, signal.SIGSTOP)
        seen = len(reported(backends, job_id))
        wait_until(lambda: any(isinstance(one, last) for one in reported(backends, job_id)[seen:]))
    wait_until(lambda: trainers(backends.settings.data_dir) == [])
    lines, before = reported(backends, job_id), stored(backends, job_id, attempt=1)
    assert before == lines[: len(before)]
    assert len(before) <= seen < len(lines)

    next_one = backends.settings.model_copy(update={"data_dir": tmp_path / node})
    with scripted_worker(next_one, tmp_path / "second.log"):
        wait_until(
            lambda: backends.store.get(job_id).status is JobStatus.SUCCEEDED,
            meanwhile=lambda: reap(backends),
        )

    _, resumed_from = starts(backends, job_id)
    assert resumed_from is not None
    kept = place_of(resumed_from, lines) if node == "node" else 0
    of_the_first, of_the_second = (stored(backends, job_id, attempt) for attempt in (1, 2))
    assert of_the_first == lines[: max(len(before), kept)]
    assert steps(of_the_second) == list(range(resumed_from + 1, STEPS + 1))
    (curve,) = backends.metrics.get(job_id, names=["loss"]).curves
    assert curve.steps == list(range(1, STEPS + 1))
    assert [type(event) for event in (*of_the_first, *of_the_second)].count(TrainFinished) == 1
