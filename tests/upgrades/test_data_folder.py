"""What an earlier commit stored is opened, listed, resumed to the same bits and exported."""

import hashlib
import json
import platform
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cryptography.fernet import Fernet
from pydantic import SecretStr
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.schemas.events import ActionRequested, JobStarted
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.settings import Settings
from relora_core.events import StepFinished
from relora_core.export.from_checkpoint import export_checkpoint
from tests.worker.attempts import attempt
from worker.launchers.torchrun import Torchrun

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
PAUSED_AT, STEPS = 181, 240
# The instructions that every x86-64 CPU has, so that all of them compute the same bits.
SAME_BITS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[Backends]:
    data_dir = tmp_path / "relora"
    with tarfile.open(HERE / "data-60f52a2.tar.xz") as archive:
        archive.extractall(data_dir, filter="data")
    settings = Settings(
        data_dir=data_dir,
        broker_url="redis://127.0.0.1:9/0",
        secret_keys=SecretStr(Fernet.generate_key().decode()),
    )
    migrate(settings.database_url)
    backends = open_backends(settings)
    yield backends
    backends.close()


def job_named(backends: Backends, name: str) -> Job:
    (job,) = (job for job in backends.store.list() if job.spec.name == name)
    return job


def test_jobs_events_curves_files_and_datasets_are_listed(
    backends: Backends, tmp_path: Path
) -> None:
    done, paused = job_named(backends, "done"), job_named(backends, "paused")

    assert (done.status, done.progress.step) == (JobStatus.SUCCEEDED, 60)
    assert (paused.status, paused.progress.step) == (JobStatus.PAUSED, 180)
    for job in (done, paused):
        numbers = [event.id for event in backends.store.events(job.id, limit=1000)]
        assert numbers == list(range(1, len(numbers) + 1))
        storage = backends.storage_for(job)
        files = backends.store.artifacts(job.id)
        assert len(files) > 10
        for file in files:
            storage.download(file.path, tmp_path / job.id / file.path)
            content = (tmp_path / job.id / file.path).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    requested = backends.store.events(paused.id, types={"job.action_requested"})
    assert [event.action for event in requested if isinstance(event, ActionRequested)] == ["pause"]
    (dataset,) = backends.datasets.list("default")
    assert (dataset.name, dataset.status) == ("words", "ready")


@pytest.mark.slow
def test_a_paused_job_resumes_to_the_bits_of_a_run_that_was_never_paused(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SAME_BITS.items():
        monkeypatch.setenv(name, value)
    paused = job_named(backends, "paused")
    backends.store.resume(paused.id)
    job = attempt(backends, paused.id, launcher=Torchrun())
    assert (job.status, job.error, job.progress.step) == (JobStatus.SUCCEEDED, None, STEPS)
    starts = backends.store.events(job.id, types={"job.started"})
    resumed_from = [event.resumed_from for event in starts if isinstance(event, JobStarted)]
    assert resumed_from == [None, PAUSED_AT]
    events = backends.store.events(job.id, limit=1000)
    losses = {event.step: event.loss for event in events if isinstance(event, StepFinished)}
    assert list(losses) == list(range(5, STEPS + 1, 5))
    storage = backends.storage_for(job)
    model = backends.settings.data_dir / "model.safetensors"
    keys = {file.path: file.key for file in backends.store.artifacts(job.id)}
    storage.download(keys["final/model.safetensors"], model)
    trained, twin = load_file(model), load_file(HERE / "twin.safetensors")
    assert trained.keys() == twin.keys()
    twin_losses = json.loads((HERE / "twin-losses.json").read_text())
    exact = platform.machine() in {"x86_64", "AMD64"}
    assert list(losses.values()) == pytest.approx(
        list(twin_losses.values()), rel=0 if exact else 1e-4, abs=0
    )
    for name, weight in twin.items():
        torch.testing.assert_close(weight, trained[name], rtol=0 if exact else 1e-2, atol=0)


def test_a_checkpoint_is_exported_as_the_model_that_the_run_had_exported(
    backends: Backends, tmp_path: Path
) -> None:
    done = job_named(backends, "done")
    storage = backends.storage_for(done)
    for folder in ("checkpoints/step-00000060", "final"):
        for file in storage.list(folder):
            storage.download(file.key, tmp_path / file.key)

    export_checkpoint(tmp_path, tmp_path / "exported")

    exported = load_file(tmp_path / "exported" / "model.safetensors")
    final = load_file(tmp_path / "final" / "model.safetensors")
    assert exported.keys() == final.keys()
    for name, weight in exported.items():
        assert torch.equal(weight, final[name]), name
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "exported")
    with torch.no_grad():
        logits = model(**tokenizer("the beginning was a word", return_tensors="pt")).logits
    assert logits.isfinite().all()
