"""A run with two ranks, of which one is killed or stopped in the middle of a step."""

import signal
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from jobs.backends import Backends
from tests.faults.checks import check_nothing_is_lost
from tests.faults.held import SAVED, HeldTorchrun, go_on, hurry, reason, send, wait_until_held
from tests.faults.jobs import short_job
from tests.worker.attempts import attempt, starts
from tests.worker.conftest import MakeSpec
from tests.worker.processes import ranks, trainers, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SILENCE = 60  # seconds: longer than a trainer needs for its first report on a busy machine


def rank(data_dir: Path, number: int) -> int:
    """Return the pid of one rank."""
    variable = f"RANK={number}".encode()
    (pid,) = (
        pid
        for pid in ranks(data_dir)
        if variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    )
    return pid


@pytest.mark.parametrize(
    ("fault", "code"), [("killed", "trainer_crashed"), ("stopped", "trainer_stalled")]
)
def test_a_run_that_loses_a_rank_is_ended_and_goes_on_from_its_newest_checkpoint(
    backends: Backends,
    make_spec: MakeSpec,
    tmp_path: Path,
    twin_with_two_ranks: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: str,
) -> None:
    settings = backends.settings.model_copy(update={"processes_without_gpus": True})
    backends, data_dir = replace(backends, settings=settings), settings.data_dir
    spec = short_job(make_spec, ranks=2, retries={"stalled_after": SILENCE})
    job_id = backends.store.create(spec).id
    options = {"launcher": HeldTorchrun()}
    running = Thread(target=attempt, args=(backends, job_id), kwargs=options)
    running.start()
    wait_until_held(backends, job_id, lambda: ranks(data_dir))
    first, second = rank(data_dir, 0), rank(data_dir, 1)
    with monkeypatch.context() as patched:
        if fault == "killed":
            send(signal.SIGKILL, [second])
        else:  # it stays as it is
            hurry(patched)
        send(signal.SIGCONT, [first])
        wait_until(lambda: trainers(data_dir) == [], seconds=30)
        running.join(30)
    assert not running.is_alive()
    assert reason(backends, job_id)[:2] == (1, code)

    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    check_nothing_is_lost(backends, job_id, tmp_path / job_id, twin=twin_with_two_ranks)
