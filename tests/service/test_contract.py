"""The description of the API is complete and true: schemathesis asks the live server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backends import Backends, open_backends
from jobs.schemas.job import Artifact, JobSpec
from jobs.schemas.webhooks import WebhookSpec
from jobs.settings import Settings
from tests.fixtures.reports import step_finished
from tests.service.receiver import SIGNING_SECRET
from tests.service.serving import serving

pytestmark = pytest.mark.integration

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
FILES = {"config.json": b"{}", "model.safetensors": b"\0" * 1000}


@pytest.fixture
def backends(settings: Settings, valkey_url: str) -> Iterator[Backends]:
    with closing(open_backends(settings.model_copy(update={"broker_url": valkey_url}))) as opened:
        yield opened


@pytest.fixture
def training(backends: Backends, tmp_path: Path) -> str:
    """A job that has a bit of everything: steps, a log, a merged model."""
    spec = {
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": "file:///corpus/*.txt"}},
        "training": {"steps": 100},
    }
    job = backends.store.create(JobSpec.model_validate(spec))
    assert backends.attempts.claim(job.id, worker="w1", lease_seconds=3600)
    backends.attempts.started(job.id, 1, resumed_from=None)
    backends.logs.append(job.id, 1, 0, b"step 1 loss 4.0\n")
    steps = [(step, step_finished(step)) for step in range(1, 50)]
    backends.attempts.append(job.id, 1, steps)
    storage = backends.storage_for(job)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
        storage.upload(tmp_path / name, f"final/{name}")
    now = datetime.now(UTC)
    files = [
        Artifact(
            path=f"final/{name}",
            kind="final",
            step=49,
            size=len(content),
            sha256="0" * 64,
            created_at=now,
        )
        for name, content in FILES.items()
    ]
    backends.attempts.add_artifacts(job.id, 1, files)
    return job.id


@pytest.fixture
def webhook(backends: Backends) -> str:
    """One that nothing can be sent to."""
    backends.secrets.put("default", "hook", SIGNING_SECRET)
    spec = WebhookSpec(url="https://hooks.invalid/relora", secret="hook")
    return backends.webhooks.create("default", spec).id


@pytest.mark.slow
def test_every_operation_is_as_it_is_described(
    backends: Backends, training: str, webhook: str, tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "schemathesis"
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": str(HOOKS),
        "CONTRACT_JOB_ID": training,
        "CONTRACT_WEBHOOK_ID": webhook,
    }
    with serving(backends) as url:
        done = subprocess.run(
            [program, "--config-file", CONFIG, "--no-color", "run", f"{url}/openapi.json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
