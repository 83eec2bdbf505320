"""The cache of models on this node for sampling.

Each model is downloaded or merged once, and kept as long as it is used.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from jobs.backends import Backends
from jobs.errors import ModelNotFound, StorageError
from jobs.schemas.job import Artifact, Job
from jobs.storage import Storage
from jobs.store.artifacts import ArtifactSelection, digest, folder_of
from relora_core.checkpoint.manifest import verify
from relora_core.files import sha256
from relora_core.workdir.files import checkpoint_path

KEPT_SECONDS = 3600.0  # since the last use; then a model may be deleted

Merge = Callable[[Path, Path], None]  # merge the checkpoint of a workdir into a folder


def model_folder(backends: Backends, job: Job, step: int, merge: Merge) -> Path:
    """Return a folder with the merged model of a step.

    If the step has only a checkpoint, merge it here. Raise `ModelNotFound`, `StorageError`,
    `CheckpointError`, and the errors of `merge`.
    """
    files = _model(backends, job.id, step) or _checkpoint(backends, job.id, step)
    root = backends.settings.cache_of(backends.store.project_of(job.id)) / "models"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{job.id}-{step}-{digest(files)[:16]}"
    lock = FileLock(backends.settings.cache_dir / ".models.lock")  # protects models in use
    with lock:
        if is_there := folder.exists():
            _use(folder)
    if not is_there:
        with TemporaryDirectory(prefix=".unfinished-", dir=root) as name:
            try:
                made = _make(Path(name), files, backends.storage_for(job), merge)
            except FileNotFoundError:  # deleted in the meantime to make room
                raise _gone(job.id, step) from None
            with lock:
                if not folder.exists():  # another generator may have just made it
                    made.rename(folder)
                _use(folder)
    with lock:
        _make_room(backends.settings.cache_dir)
    return folder


def _make(temporary: Path, files: list[Artifact], storage: Storage, merge: Merge) -> Path:
    if files[0].kind != "checkpoint":
        return _fetch(files, storage, temporary / "model")
    workdir, step = temporary / "run", files[0].step or 0
    verify(_fetch(files, storage, workdir / checkpoint_path(step)))
    merge(workdir, temporary / "model")
    return temporary / "model"


def _fetch(files: list[Artifact], storage: Storage, to: Path) -> Path:
    prefix = folder_of(files[0]) + "/"
    for file in files:
        copy = to / file.path.removeprefix(prefix)
        storage.download(file.key, copy)
        if sha256(copy) != file.sha256:
            raise StorageError(f"The storage does not have {file.path} as it was uploaded.")
    return to


def _model(backends: Backends, job_id: str, step: int) -> list[Artifact]:
    try:
        return backends.files.model(job_id, step)
    except ModelNotFound:
        return []


def _checkpoint(backends: Backends, job_id: str, step: int) -> list[Artifact]:
    files = backends.files.list(
        job_id, ArtifactSelection(kind="checkpoint", step=step), limit=100_000
    )
    if not files:
        raise _gone(job_id, step)
    return files


def _gone(job_id: str, step: int) -> ModelNotFound:
    return ModelNotFound(job_id, step, "model or checkpoint any more")


def _use(folder: Path) -> None:
    (folder / "used").touch()


def _make_room(cache: Path) -> None:
    """Delete the unused models of all projects."""
    for folder in _unused(cache):
        shutil.rmtree(folder, ignore_errors=True)


def _unused(cache: Path) -> Iterator[Path]:
    for mark in cache.glob("*/models/*/used"):
        if time.time() - mark.stat().st_mtime > KEPT_SECONDS:
            yield mark.parent
