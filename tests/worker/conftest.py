"""Fixtures of tiny jobs and of the parts of a worker."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.schemas.job import JobSpec
from jobs.settings import Settings
from worker.attempt import clock
from worker.attempt.attempt import Attempt
from worker.attempt.lease import Lease
from worker.attempt.workdir import Workdir

WORDS = ["the", "beginning", "was", "a", "word", "and", "many", "words", "went", "on"]

MakeSpec = Callable[..., JobSpec]
BeginAttempt = Callable[..., Attempt]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "words.jsonl"
    draw = random.Random(0)  # noqa: S311 # the same words in each run
    texts = (" ".join(draw.choices(WORDS, k=40)) for _ in range(200))
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


@pytest.fixture(scope="session")
def make_spec(corpus: Path) -> MakeSpec:
    """Return a function that makes the spec of a tiny ReLoRA job, which takes a few seconds."""

    def make(*, steps: int = 60, checkpoint_every: int = 20, **parts: Any) -> JobSpec:
        document = {
            "model": {
                "config": {
                    "model_type": "llama",
                    "hidden_size": 32,
                    "intermediate_size": 64,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 2,
                    "max_position_embeddings": 64,
                }
            },
            "tokenizer": {"train": {"vocab_size": 300}},
            "data": {"train": {"uri": str(corpus)}, "sequence_length": 32},
            "method": {"name": "relora", "rank": 4, "warm_start_steps": 10, "reset_every": 20},
            "training": {
                "steps": steps,
                "global_batch_size": 4,
                "precision": "fp32",
                "compile": False,
            },
            "evaluation": {"every": None, "tokens": 1000},
            "checkpoint": {"every": checkpoint_every, "keep_last": 2},
        }
        return JobSpec.model_validate({**document, **parts})

    return make


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one thread: on a busy machine, threads of tiny operations mostly wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings without a broker. Only the wake-ups of the worker need one."""
    return Settings(
        data_dir=tmp_path / "relora",
        broker_url="redis://127.0.0.1:9/0",
        lease_seconds=30,  # long enough to be renewed in time on a busy machine
        outage_seconds=2,
        secret_keys=SecretStr(Fernet.generate_key().decode()),
    )


@pytest.fixture
def backends(settings: Settings) -> Iterator[Backends]:
    migrate(settings.database_url)
    backends = open_backends(settings)
    yield backends
    backends.close()


@pytest.fixture
def begin_attempt(backends: Backends, make_spec: MakeSpec) -> Iterator[BeginAttempt]:
    """Return a function that claims a job, by default a new one. Hold it until the test ends."""

    def begin(spec: JobSpec | None = None, *, job_id: str | None = None) -> Attempt:
        claimed_at = clock.now()
        job_id = job_id or backends.store.create(spec or make_spec()).id
        job = backends.attempts.claim(job_id, worker="w", lease_seconds=20)
        assert job is not None
        lease = Lease(backends.attempts, job, seconds=20, claimed_at=claimed_at)
        held.enter_context(lease)
        workdir = Workdir.of(backends.settings.scratch_dir, job.id, job.attempt)
        workdir.create()
        return Attempt(job, lease, workdir, backends, shutting_down=lambda: False)

    with ExitStack() as held:
        yield begin
