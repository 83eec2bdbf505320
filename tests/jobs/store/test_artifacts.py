"""Queries for the files of a job by kind, step and folder, on both databases."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from jobs.errors import JobNotFound, ModelNotFound
from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.job import Artifact, Job
from jobs.store.artifacts import ArtifactSelection, JobFiles
from jobs.store.attempts import AttemptStore
from relora_core.events import Evaluated, StepFinished

SAVED_AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def files(engine: Engine) -> JobFiles:
    return JobFiles(engine)


def artifact(path: str, kind: ArtifactKind, step: int | None, size: int = 10) -> Artifact:
    digest = hashlib.sha256(path.encode()).hexdigest()
    return Artifact(path=path, kind=kind, step=step, size=size, sha256=digest, created_at=SAVED_AT)


MERGED = [artifact(f"merged/step-00000020/{name}", "merged", 20) for name in ("a", "b")]
CHECKPOINTS = [
    artifact(f"checkpoints/step-000000{step}/{name}", "checkpoint", step)
    for step in (20, 40)
    for name in ("manifest.json", "model.safetensors")
]
LOG = artifact("logs/attempt-1.log", "log", None)


@pytest.fixture
def saved(attempts: AttemptStore, running: Job) -> Job:
    attempts.add_artifacts(running.id, 1, [*MERGED, *CHECKPOINTS, LOG])
    return running


def paths(files: list[Artifact]) -> list[str]:
    return [file.path for file in files]


def test_files_are_found_by_kind_step_and_prefix(files: JobFiles, saved: Job) -> None:
    assert paths(files.list(saved.id, ArtifactSelection(kind="merged"))) == paths(MERGED)
    assert paths(files.list(saved.id, ArtifactSelection(step=40))) == paths(CHECKPOINTS[2:])
    assert paths(files.list(saved.id, ArtifactSelection(prefix="logs/"))) == [LOG.path]
    assert files.list(saved.id, ArtifactSelection(prefix="log%")) == []
    assert files.list(saved.id, ArtifactSelection(kind="final")) == []


def test_files_come_page_by_page(files: JobFiles, saved: Job) -> None:
    first = files.list(saved.id, ArtifactSelection(), limit=4)
    rest = files.list(saved.id, ArtifactSelection(), limit=4, after=first[-1].path)
    assert paths(first + rest) == sorted(paths([*MERGED, *CHECKPOINTS, LOG]))


def test_checkpoints_and_models_are_listed_newest_first(
    files: JobFiles,
    attempts: AttemptStore,
    saved: Job,
    step_finished: Callable[[int], StepFinished],
) -> None:
    evaluated = Evaluated(step=30, loss=2.0, perplexity=float("inf"), tokens=1000)
    attempts.append(saved.id, 1, [(1, step_finished(30)), (2, evaluated)])
    found = files.checkpoints(saved.id)
    assert [(one.step, one.kind, one.merged, one.metrics) for one in found] == [
        (40, "checkpoint", False, {"validation_loss": 2.0}),
        (20, "checkpoint", True, {}),
        (20, "merged", True, {}),
    ]
    assert (found[0].path, found[0].files, found[0].size) == ("checkpoints/step-00000040", 2, 20)
    assert found[0].created_at == SAVED_AT
    lines = "".join(f"{file.sha256}  {name}\n" for file, name in zip(MERGED, "ab", strict=True))
    assert found[2].sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_checkpoints_come_page_by_page(files: JobFiles, saved: Job) -> None:
    (first, second) = files.checkpoints(saved.id, limit=2)
    (third,) = files.checkpoints(saved.id, after=second.position)
    assert [first.position, second.position, third.position] == [
        "40-checkpoint",
        "20-checkpoint",
        "20-merged",
    ]


def test_a_model_is_the_final_one_or_else_the_newest(
    files: JobFiles, attempts: AttemptStore, saved: Job
) -> None:
    later = artifact("merged/step-00000060/a", "merged", 60)
    final = artifact("final/a", "final", 50)
    attempts.add_artifacts(saved.id, 1, [later])
    assert paths(files.model(saved.id)) == [later.path]
    assert paths(files.model(saved.id, 20)) == paths(MERGED)
    attempts.add_artifacts(saved.id, 1, [final])
    assert paths(files.model(saved.id)) == [final.path]
    assert paths(files.model(saved.id, 50)) == [final.path]


def test_a_model_that_is_not_there_says_how_to_get_one(files: JobFiles, saved: Job) -> None:
    with pytest.raises(ModelNotFound, match=r"no merged model of step 40\. .*export\.every"):
        files.model(saved.id, 40)


def test_a_job_that_is_not_there_has_no_files(files: JobFiles) -> None:
    for ask in (
        lambda: files.list("job_none", ArtifactSelection()),
        lambda: files.checkpoints("job_none"),
        lambda: files.model("job_none"),
    ):
        with pytest.raises(JobNotFound):
            ask()
