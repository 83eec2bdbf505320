"""Models on a node are downloaded or merged once, and deleted to make room for others."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.errors import ModelNotFound
from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.job import Artifact, Job
from relora_core.checkpoint.manifest import write_manifest
from relora_core.errors import CheckpointError
from relora_core.files import sha256
from relora_core.workdir.files import checkpoint_path
from tests.worker.conftest import BeginAttempt
from worker.transfers.model_cache import KEPT_SECONDS, model_folder


@pytest.fixture
def job(begin_attempt: BeginAttempt) -> Job:
    return begin_attempt().job


def save(backends: Backends, job: Job, folder: Path, kind: ArtifactKind, step: int) -> None:
    """Store and list the files of a folder."""
    path = f"merged/step-{step:08d}" if kind == "merged" else checkpoint_path(step)
    for file in folder.iterdir():
        artifact = Artifact(
            path=f"{path}/{file.name}",
            kind=kind,
            step=step,
            size=file.stat().st_size,
            sha256=sha256(file),
            created_at=datetime.now(UTC),
        )
        backends.storage_for(job).upload(file, artifact.path)
        backends.attempts.add_artifacts(job.id, 1, [artifact])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "config.json").write_text("{}")
    return tmp_path / "saved"


class Merging:
    """A stand-in for the trainer's merge that counts its calls."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def __call__(self, workdir: Path, to: Path) -> None:
        (checkpoint,) = (workdir / "checkpoints").iterdir()
        self.steps.append(checkpoint.name)
        to.mkdir()
        (to / "model.safetensors").write_text("merged")


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_merged_model_is_fetched_once(backends: Backends, job: Job, folder: Path) -> None:
    save(backends, job, folder, "merged", 20)
    merge = Merging()
    first = model_folder(backends, job, 20, merge)
    assert names(first) == {"config.json", "used"}
    backends.storage_for(job).delete("merged")
    assert model_folder(backends, job, 20, merge) == first
    assert merge.steps == []
    assert names(first.parent) == {first.name}


def test_a_checkpoint_is_merged_once(backends: Backends, job: Job, folder: Path) -> None:
    write_manifest(folder, 40)
    save(backends, job, folder, "checkpoint", 40)
    merge = Merging()
    first = model_folder(backends, job, 40, merge)
    assert names(first) == {"model.safetensors", "used"}
    assert model_folder(backends, job, 40, merge) == first
    assert merge.steps == ["step-00000040"]


def test_two_generators_that_make_the_same_model_both_have_it(
    backends: Backends, job: Job, folder: Path
) -> None:
    write_manifest(folder, 40)
    save(backends, job, folder, "checkpoint", 40)
    others: list[Path] = []

    def merge(workdir: Path, to: Path) -> None:
        others.append(model_folder(backends, job, 40, Merging()))
        Merging()(workdir, to)

    assert [model_folder(backends, job, 40, merge)] == others


def test_a_damaged_checkpoint_is_not_merged(backends: Backends, job: Job, folder: Path) -> None:
    write_manifest(folder, 40)
    (folder / "config.json").write_text("[]")
    save(backends, job, folder, "checkpoint", 40)
    merge = Merging()
    with pytest.raises(CheckpointError, match="does not have the sha256"):
        model_folder(backends, job, 40, merge)
    assert merge.steps == []


def test_what_made_room_meanwhile_is_told(backends: Backends, job: Job, folder: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model or checkpoint any more of step 20"):
        model_folder(backends, job, 20, Merging())
    save(backends, job, folder, "merged", 20)
    backends.storage_for(job).delete("merged")
    with pytest.raises(ModelNotFound, match="no model or checkpoint any more of step 20"):
        model_folder(backends, job, 20, Merging())
    assert names(backends.settings.cache_of("default") / "models") == set()


def test_a_model_that_nobody_used_for_long_makes_room(
    backends: Backends, job: Job, folder: Path
) -> None:
    save(backends, job, folder, "merged", 20)
    save(backends, job, folder, "merged", 40)
    first = model_folder(backends, job, 20, Merging())
    long_ago = (first / "used").stat().st_mtime - KEPT_SECONDS - 60
    os.utime(first / "used", (long_ago, long_ago))
    second = model_folder(backends, job, 40, Merging())
    assert names(first.parent) == {second.name}
