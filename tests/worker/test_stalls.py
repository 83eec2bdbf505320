"""Trainers that hang: some of their processes are stopped (SIGSTOP) without any report."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.backends import Backends
from jobs.schemas.events import JobRetrying
from tests.worker.attempts import LONG, attempt_in_background, starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import ranks, trainers, wait_until
from worker.attempt.workdir import Workdir
from worker.launchers.torchrun import Torchrun
from worker.supervision import liveness

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SILENCE = 60  # seconds: longer than a trainer needs for its first report on a busy machine
HASTE = 20  # factor by which the worker's time runs faster


def hurry(patched: pytest.MonkeyPatch) -> None:
    """Make the worker count the silence faster than real time."""
    now = time.monotonic()
    fast = SimpleNamespace(monotonic=lambda: now + HASTE * (time.monotonic() - now))
    patched.setattr(liveness, "time", fast)


def rank(data_dir: Path, number: int) -> list[int]:
    """Return the pid of one rank, in a list."""
    variable = f"RANK={number}".encode()
    return [
        pid
        for pid in ranks(data_dir)
        if variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]


def last_reason(backends: Backends, job_id: str) -> tuple[str, str]:
    retrying = backends.store.events(job_id, types={"job.retrying"})[-1]
    assert isinstance(retrying, JobRetrying)
    return retrying.reason.code, retrying.reason.message.partition(";")[0]


def test_a_trainer_of_which_a_rank_is_stopped_is_ended_and_the_next_one_goes_on(
    backends: Backends, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = backends.settings.model_copy(update={"processes_without_gpus": True})
    backends, data_dir = replace(backends, settings=settings), settings.data_dir
    spec = make_spec(steps=LONG, resources={"gpus": 2}, retries={"stalled_after": SILENCE})
    job_id = backends.store.create(spec).id
    newest: list[int | None] = [None]
    stopped: list[Callable[[], list[int]]] = [
        lambda: rank(data_dir, 1),
        lambda: rank(data_dir, 0),
        lambda: trainers(data_dir),  # torchrun too
    ]
    for number, processes in enumerate(stopped, start=1):
        with (
            monkeypatch.context() as patched,
            attempt_in_background(backends, job_id, launcher=Torchrun()),
        ):
            assert len(ranks(data_dir)) == 2
            for pid in processes():
                os.kill(pid, signal.SIGSTOP)
            hurry(patched)
            wait_until(lambda: trainers(data_dir) == [], seconds=20)
        said = f"The trainer gave no sign of life for {SILENCE} s and was ended"
        assert last_reason(backends, job_id) == ("trainer_stalled", said)
        assert starts(backends, job_id) == newest
        workdir = Workdir.of(settings.scratch_dir, job_id, number)
        newest.append(workdir.checkpoint_steps()[-1])
