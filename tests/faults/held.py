"""Trainers that stop themselves before a step, so that a fault meets them at this moment."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.schemas.events import JobRetrying
from tests.fixtures.process_state import has_ended, is_stopped
from tests.worker.attempts import attempt
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.processes import wait_until
from worker.attempt.workdir import Workdir
from worker.launchers.launcher import TrainerProcess
from worker.launchers.torchrun import Torchrun
from worker.supervision import liveness

ROOT = Path(__file__).parent.parent.parent
HELD, SAVED = 25, 20  # the step before which a trainer stops, and the checkpoint before it
HOLD = f"at:{HELD}:stop"
HASTE = 20  # factor by which the worker's time runs faster


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        os.kill(pid, number)


def hurry(patched: pytest.MonkeyPatch) -> None:
    """Make the worker count the silence of a trainer faster than real time."""
    now = time.monotonic()
    fast = SimpleNamespace(monotonic=lambda: now + HASTE * (time.monotonic() - now))
    patched.setattr(liveness, "time", fast)


def stored_checkpoints(backends: Backends, job_id: str) -> set[int | None]:
    """Return the steps of the checkpoints that are listed."""
    files = backends.store.artifacts(job_id)
    return {file.step for file in files if file.kind == "checkpoint"}


@dataclass(frozen=True)
class Held:
    """An attempt whose trainer has stopped itself."""

    pids: Sequence[int]
    attempt: Thread

    def go_on(self) -> None:
        """Continue the trainer, unless it has ended."""
        send(signal.SIGCONT, [pid for pid in self.pids if not has_ended(pid)])

    def kill(self) -> None:
        send(signal.SIGKILL, self.pids)

    def wait_for_the_trainer(self) -> None:
        """Wait until the trainer has ended."""
        wait_until(lambda: all(map(has_ended, self.pids)))

    def wait(self) -> None:
        """Wait until the attempt has ended."""
        self.attempt.join(60)
        assert not self.attempt.is_alive()


@dataclass(frozen=True)
class HeldTorchrun:
    """The launcher of workers, with a trainer that stops itself in the first attempt of a job."""

    def launch(
        self, workdir: Workdir, *, environ: Mapping[str, str], **options: Any
    ) -> TrainerProcess:
        holding = Torchrun(program=("tests.relora_core.faults", HOLD))
        launcher = holding if workdir.attempt == 1 else Torchrun()
        return launcher.launch(workdir, environ={**environ, "PYTHONPATH": str(ROOT)}, **options)


def wait_until_held(backends: Backends, job_id: str, pids: Callable[[], Sequence[int]]) -> None:
    """Wait until these processes have stopped, and everything before that is stored."""
    wait_until(lambda: bool(pids()) and all(map(is_stopped, pids())))
    wait_until(lambda: SAVED in stored_checkpoints(backends, job_id))


@contextmanager
def held_attempt(
    backends: Backends, job_id: str, *, fault: str = HOLD, **options: Any
) -> Iterator[Held]:
    """Run the first attempt in a thread, with a trainer that stops itself before the step `HELD`.

    The block begins when everything before that is stored. When the block ends, the trainer is
    continued, and the attempt must end.
    """
    launcher = ForkedLauncher({1: fault})
    options = {"launcher": launcher, **options}
    thread = Thread(target=attempt, args=(backends, job_id), kwargs=options)
    thread.start()
    wait_until(lambda: bool(launcher.trainers))
    held = Held(launcher.trainers[0].pids, thread)
    try:
        wait_until_held(backends, job_id, lambda: held.pids)
        yield held
    finally:
        held.go_on()
    held.wait()


def go_on(backends: Backends, job_id: str) -> None:
    """Run the next attempt, whose trainer nothing disturbs."""
    attempt(backends, job_id, launcher=ForkedLauncher())


def on_another_node(backends: Backends, folder: Path) -> Backends:
    """Return the same servers, and another disk for the worker's own files."""
    return replace(backends, settings=backends.settings.model_copy(update={"data_dir": folder}))


def reason(backends: Backends, job_id: str) -> tuple[int | None, str, str]:
    """Return how often the job has failed after its first attempt, the code and the message."""
    (retrying,) = backends.store.events(job_id, types={"job.retrying"})
    assert isinstance(retrying, JobRetrying)
    return retrying.failed_attempts, retrying.reason.code, retrying.reason.message
