"""Attempts of jobs that run in this process, and the events stored about them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from jobs.backends import Backends
from jobs.schemas.events import JobStarted
from jobs.schemas.job import Job
from relora_core.events import CheckpointSaved, StepFinished
from tests.worker.processes import wait_until
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.attempt import clock
from worker.launchers.launcher import Launcher
from worker.node.health import Health
from worker.run import run

LONG = 20_000  # steps: more than any test waits for
SCRIPTED = ScriptedLauncher()


def attempt(
    backends: Backends,
    job_id: str,
    *,
    launcher: Launcher = SCRIPTED,
    shutting_down: Callable[[], bool] = lambda: False,
    health: Health | None = None,
) -> Job:
    """Claim the job, run one attempt, and return the job in its next status."""
    claimed_at = clock.now()
    job = backends.attempts.claim(job_id, worker="w", lease_seconds=backends.settings.lease_seconds)
    assert job is not None
    run(
        job,
        backends,
        launcher=launcher,
        claimed_at=claimed_at,
        shutting_down=shutting_down,
        health=health,
    )
    return backends.store.get(job_id)


@contextmanager
def attempt_in_background(
    backends: Backends, job_id: str, *, launcher: Launcher = SCRIPTED
) -> Iterator[None]:
    """Run an attempt in a thread.

    The block begins when the attempt has saved a checkpoint. The attempt must end with the block.
    """
    before = _trainer_starts(backends, job_id)
    thread = Thread(target=attempt, args=(backends, job_id), kwargs={"launcher": launcher})
    thread.start()
    wait_until(lambda: _trainer_starts(backends, job_id) > before)
    saved = len(saved_steps(backends, job_id))  # some by earlier attempts
    wait_until(lambda: len(saved_steps(backends, job_id)) > saved)
    yield
    thread.join(60)
    assert not thread.is_alive()


def _trainer_starts(backends: Backends, job_id: str) -> int:
    return len(backends.store.events(job_id, types={"train.started"}))


def saved_steps(backends: Backends, job_id: str) -> list[int]:
    """Return the step of each reported checkpoint."""
    events = backends.store.events(job_id, types={"train.checkpoint"})
    return [event.step for event in events if isinstance(event, CheckpointSaved)]


def reported_steps(backends: Backends, job_id: str) -> list[int]:
    """Return the steps whose loss was reported."""
    events = backends.store.events(job_id, types={"train.step"}, limit=1000)
    return [event.step for event in events if isinstance(event, StepFinished)]


def starts(backends: Backends, job_id: str) -> list[int | None]:
    """Return the step that each attempt resumed from."""
    events = backends.store.events(job_id, types={"job.started"})
    return [event.resumed_from for event in events if isinstance(event, JobStarted)]
