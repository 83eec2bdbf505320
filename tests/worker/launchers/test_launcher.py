"""The guarantees of `worker.launchers.launcher.TrainerProcess`, tested with each launcher."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from relora_core.checkpoint.manifest import verify
from relora_core.events import AnyTrainEvent, CheckpointSaved, TrainStarted, TrainStopped, from_line
from tests.worker.attempts import LONG
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.processes import ranks, trainers, wait_until
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.attempt.attempt import Attempt
from worker.launchers.launcher import Launcher, TrainerProcess
from worker.launchers.torchrun import Torchrun

pytestmark = pytest.mark.integration

Start = Callable[[], TrainerProcess]
Event = TypeVar("Event", bound=AnyTrainEvent)


@pytest.fixture(
    params=[
        pytest.param(Torchrun(), marks=pytest.mark.slow, id="torchrun"),
        pytest.param(ScriptedLauncher(), id="scripted"),
    ]
)
def launcher(request: pytest.FixtureRequest) -> Launcher:
    launcher: Launcher = request.param
    return launcher


@pytest.fixture
def attempt(begin_attempt: BeginAttempt, make_spec: MakeSpec) -> Attempt:
    """Return an attempt of a long run with a prepared workdir.

    Its spec has a value that only an older version accepted.
    """
    attempt = begin_attempt(make_spec(steps=LONG))
    document = attempt.job.spec.train.model_dump(mode="json")
    document["training"]["spike_window"] = 10**6
    attempt.workdir.spec.write_text(json.dumps(document))
    attempt.workdir.staged.write_text("{}")
    return attempt


@pytest.fixture
def start(launcher: Launcher, attempt: Attempt) -> Start:
    """Return a function that starts a trainer under the attempt's lease."""

    def start() -> TrainerProcess:
        trainer = launcher.launch(
            attempt.workdir,
            cache=attempt.cache,
            num_processes=1,
            environ={**attempt.environ(), "GREETING": "hello"},
        )
        attempt.lease.kill_on_expiry(trainer)
        return trainer

    return start


def reported(attempt: Attempt, kind: type[Event]) -> list[Event]:
    file = attempt.workdir.events
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    events = [from_line(line) for line in lines if line.endswith(b"\n")]
    return [event for event in events if isinstance(event, kind)]


def test_a_trainer_that_is_asked_to_stop_saves_and_the_next_one_goes_on(
    start: Start, attempt: Attempt
) -> None:
    workdir, data_dir = attempt.workdir, attempt.backends.settings.data_dir
    first = start()
    assert workdir.log.exists()
    wait_until(lambda: bool(reported(attempt, CheckpointSaved)))
    saved = reported(attempt, CheckpointSaved)[0].step
    assert verify(workdir.checkpoint(saved)).step == saved
    wait_until(workdir.heartbeat.exists)
    (rank,) = ranks(data_dir)
    assert Path(f"/proc/{rank}/cwd").readlink() == workdir.empty
    variables = Path(f"/proc/{rank}/environ").read_bytes().split(b"\0")
    assert b"GREETING=hello" in variables

    workdir.stop.touch()
    wait_until(lambda: first.exit_code() is not None)
    first.kill()
    assert first.exit_code() == 0
    (stopped,) = reported(attempt, TrainStopped)
    assert verify(workdir.checkpoint(stopped.step)).step == stopped.step

    workdir.stop.unlink()
    second = start()
    wait_until(lambda: len(reported(attempt, TrainStarted)) == 2)
    assert reported(attempt, TrainStarted)[-1].step == stopped.step
    assert second.exit_code() is None
    second.kill()
    assert trainers(data_dir) == []
