"""Text generation with real jobs, real models and real subprocesses."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError

import worker.generator
from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.database.tables.jobs import jobs, projects
from jobs.generations import Claim, GenerationStore
from jobs.schemas.generations import Generation, NewGeneration
from jobs.schemas.job import Job
from jobs.settings import Settings
from tests.worker.conftest import MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.processes import environ, wait_until
from worker.attempt import clock
from worker.generator import Generator, serve
from worker.launchers.process import descendants
from worker.run import run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, make_spec: MakeSpec) -> Path:
    """Train a job once, and return the data folder of its service."""
    folder = tmp_path_factory.mktemp("trained")
    settings = Settings(data_dir=folder, broker_url="redis://127.0.0.1:9/0")
    migrate(settings.database_url)
    with closing(open_backends(settings)) as backends:
        job_id = backends.store.create(make_spec(steps=30, checkpoint_every=20)).id
        claimed_at = clock.now()
        job = backends.attempts.claim(job_id, worker="w", lease_seconds=60)
        assert job is not None
        launcher = ForkedLauncher()
        run(job, backends, launcher=launcher, claimed_at=claimed_at, shutting_down=lambda: False)
    return folder


@pytest.fixture
def settings(settings: Settings, trained_once: Path) -> Settings:
    shutil.copytree(trained_once, settings.data_dir)
    return settings


@pytest.fixture
def trained(backends: Backends) -> Job:
    """Return a job with a checkpoint of step 20 and a final model of step 30."""
    (job,) = backends.store.list()
    return job


def ask(backends: Backends, job: Job, *, step: int = 30, **asked: object) -> Generation:
    new = NewGeneration.model_validate({"prompt": "the word was", "max_new_tokens": 8, **asked})
    return backends.generations.create(job.id, new, step=step, seconds=600)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OperationalError("x", {}, OSError("away")), id="the store is away"),
        pytest.param(ValueError("nobody thought of this"), id="anything"),
    ],
)
def test_no_error_ends_the_generator(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(worker.generator, "AFTER_FAILURE_SECONDS", 0)
    shutting_down, rounds = threading.Event(), iter([error, error])

    def work() -> bool:
        if error := next(rounds, None):
            raise error
        shutting_down.set()
        return True

    serve(work, shutting_down)
    assert next(rounds, None) is None
    assert shutting_down.is_set()


@pytest.mark.slow
def test_a_generator_that_must_leave_gives_it_back_and_the_next_one_answers(
    backends: Backends, settings: Settings, trained: Job
) -> None:
    sampled = ask(backends, trained, seed=1)
    merged_for_it = ask(backends, trained, step=20, temperature=0)
    Generator(backends, shutting_down=lambda: True).work()
    assert backends.generations.get(trained.id, sampled.id).status == "queued"

    def done() -> list[Generation]:
        asked = [backends.generations.get(trained.id, one.id) for one in (sampled, merged_for_it)]
        return [one for one in asked if one.result or one.error]

    process = subprocess.Popen([sys.executable, "-m", "worker.generator"], env=environ(settings))
    try:
        wait_until(lambda: len(done()) == 2, seconds=600)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()

    assert [one.error for one in done()] == [None, None]
    results = [one.result for one in done() if one.result]
    assert len(results) == 2
    assert all(result.prompt_tokens > 0 and 1 <= result.new_tokens <= 8 for result in results)


def failure(backends: Backends, asked: Generation) -> tuple[str, str]:
    error = backends.generations.get(asked.job_id, asked.id).error
    assert error is not None
    return error.code, error.message


@pytest.mark.slow
def test_what_does_not_fit_the_model_says_so(backends: Backends, trained: Job) -> None:
    asked = ask(backends, trained, max_new_tokens=500)
    Generator(backends, shutting_down=lambda: False).work()
    code, message = failure(backends, asked)
    assert code == "generation_failed"
    assert "the model sees 64 at once; shorten the prompt or lower max_new_tokens" in message


def children() -> set[int]:
    return set(descendants(os.getpid()))


@pytest.mark.slow
def test_a_model_stays_in_memory_for_its_project_and_for_a_while(
    backends: Backends, trained: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    tell = GenerationStore.tell

    def note(store: GenerationStore, claim: Claim, text: str) -> None:
        texts.append(text)
        tell(store, claim, text)

    monkeypatch.setattr(GenerationStore, "tell", note)
    others = children()
    with closing(Generator(backends, shutting_down=lambda: False)) as generator:

        def sample(seed: int) -> str:
            asked = ask(backends, trained, seed=seed, max_new_tokens=40)
            assert generator.work()
            done = backends.generations.get(trained.id, asked.id)
            assert done.result is not None, done.error
            assert done.text == done.result.text
            return done.text

        first = sample(seed=1)
        assert texts[0]
        assert first.startswith(texts[0])
        (warm,) = children() - others
        assert sample(seed=1) == first
        assert children() - others == {warm}
        with backends.engine.begin() as connection:
            connection.execute(insert(projects), {"name": "other", "created_at": datetime.now(UTC)})
            connection.execute(update(jobs).values(project="other"))
        assert sample(seed=1) == first
        (another,) = children() - others
        assert another != warm
        monkeypatch.setattr(worker.generator, "KEPT_SECONDS", 0)
        assert not generator.work()
        assert children() == others


def test_a_model_that_is_gone_is_told(backends: Backends, trained: Job) -> None:
    files = backends.store.artifacts(trained.id)
    final = [file.key for file in files if file.kind == "final"]
    backends.storage_for(trained).delete_files(final)
    gone, never = ask(backends, trained), ask(backends, trained, step=10)
    generator = Generator(backends, shutting_down=lambda: False)
    assert [generator.work() for _ in range(3)] == [True, True, False]
    for asked in (gone, never):
        assert failure(backends, asked)[0] == "model_unavailable"


def test_one_that_takes_too_long_is_ended(backends: Backends, trained: Job) -> None:
    settings = backends.settings.model_copy(update={"generation_seconds": 0.1})
    asked = ask(backends, trained)
    Generator(replace(backends, settings=settings), shutting_down=lambda: False).work()
    code, message = failure(backends, asked)
    assert (code, message) == (
        "generation_too_slow",
        "It took longer than 0.1 s; ask for fewer tokens.",
    )
