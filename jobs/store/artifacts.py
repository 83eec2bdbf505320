"""Queries for the artifacts of jobs: by kind, by step, by path, and by whole folders."""

import builtins
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, select

from jobs.database.engine import READ_ONLY
from jobs.database.row_mapping import artifact_from, event_from
from jobs.database.tables.jobs import NOT_A_STEP, artifacts, events, jobs
from jobs.errors import JobNotFound, ModelNotFound
from jobs.schemas.artifacts import ArtifactKind, CheckpointEntry
from jobs.schemas.job import Artifact
from relora_core.events import Evaluated

MODELS = ("final", "merged")  # in order of preference


@dataclass(frozen=True)
class ArtifactSelection:
    """Conditions on the files of a job. A file must meet all that are given."""

    kind: ArtifactKind | None = None
    step: int | None = None
    prefix: str = ""


class JobFiles:
    """Read access to the lists of artifacts. Only the worker that holds a job writes its list."""

    def __init__(self, engine: Engine) -> None:
        self._reads = engine.execution_options(**READ_ONLY)

    def list(
        self,
        job_id: str,
        which: ArtifactSelection,
        *,
        limit: int = 100,
        after: str = "",
    ) -> builtins.list[Artifact]:
        """Return files of a job, sorted by path.

        `after` is the path of the last file of the previous page.
        """
        query = select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.path > after)
        if which.kind is not None:
            query = query.where(artifacts.c.kind == which.kind)
        if which.step is not None:
            query = query.where(artifacts.c.step == which.step)
        if which.prefix:
            query = query.where(artifacts.c.path.startswith(which.prefix, autoescape=True))
        with self._reads.begin() as connection:
            return _read(connection, job_id, query.order_by(artifacts.c.path).limit(limit))

    def model(self, job_id: str, step: int | None = None) -> builtins.list[Artifact]:
        """Return the files of one merged model, sorted by path.

        With `step`, it is the model of that step. Without it, it is the final model or, if there
        is none yet, the newest merged model. Raise `ModelNotFound` if there is no such model.
        """
        query = select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.kind.in_(MODELS))
        if step is not None:
            query = query.where(artifacts.c.step == step)
        with self._reads.begin() as connection:
            found = _read(connection, job_id, query.order_by(artifacts.c.path))
        if not found:
            raise ModelNotFound(job_id, step)
        return max(
            _folders(found), key=lambda files: (files[0].kind == "final", files[0].step or 0)
        )

    def checkpoints(
        self, job_id: str, *, limit: int = 100, after: str = ""
    ) -> builtins.list[CheckpointEntry]:
        """Return the checkpoints and models of a job, the newest first.

        At the same step the checkpoint comes before the model. `after` is the `position` of the
        last entry of the previous page.
        """
        saved = select(artifacts).where(
            artifacts.c.job_id == job_id, artifacts.c.kind.in_(("checkpoint", *MODELS))
        )
        evaluated = (
            select(events)
            .where(events.c.job_id == job_id, events.c.type == "train.eval", NOT_A_STEP)
            .order_by(events.c.id)
        )
        with self._reads.begin() as connection:
            folders = _folders(_read(connection, job_id, saved.order_by(artifacts.c.path)))
            evaluations = [event_from(row) for row in connection.execute(evaluated)]
        metrics = {
            event.step: _metrics(event) for event in evaluations if isinstance(event, Evaluated)
        }
        merged = {files[0].step for files in folders if files[0].kind in MODELS}
        found = sorted(
            (_checkpoint(files, metrics, merged) for files in folders), key=_newest_first
        )
        if after:
            step, _, kind = after.partition("-")
            found = [saved for saved in found if _newest_first(saved) > (-int(step), kind)]
        return found[:limit]


def folder_of(artifact: Artifact) -> str:
    """Return the folder of the model or checkpoint of a file, such as `merged/step-00001000`."""
    parts = artifact.path.split("/")
    return parts[0] if artifact.kind == "final" else "/".join(parts[:2])


def digest(files: Sequence[Artifact]) -> str:
    """Return one SHA-256 hash for a folder.

    It is the hash of the lines that `sha256sum` prints in the folder for its files, sorted by name.
    """
    folder = folder_of(files[0])
    lines = (f"{file.sha256}  {file.path.removeprefix(folder + '/')}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _newest_first(saved: CheckpointEntry) -> tuple[int, str]:
    return -saved.step, saved.kind


def _folders(files: Iterable[Artifact]) -> builtins.list[builtins.list[Artifact]]:
    """Group files by their folder. `files` must be sorted by path."""
    return [list(group) for _, group in groupby(files, key=folder_of)]


def _checkpoint(
    files: Sequence[Artifact], metrics: dict[int, dict[str, float]], merged: set[int | None]
) -> CheckpointEntry:
    step = files[0].step or 0
    evaluated = max((other for other in metrics if other <= step), default=None)
    return CheckpointEntry(
        step=step,
        kind=files[0].kind,
        path=folder_of(files[0]),
        files=len(files),
        size=sum(file.size for file in files),
        sha256=digest(files),
        created_at=max(file.created_at for file in files),
        merged=step in merged,
        metrics={} if evaluated is None else metrics[evaluated],
        metrics_step=evaluated,
    )


def _metrics(event: Evaluated) -> dict[str, float]:
    values = {
        "validation_loss": event.loss,
        "validation_perplexity": event.perplexity,
        "validation_accuracy": event.accuracy,
        "validation_top5_accuracy": event.top5_accuracy,
    }
    return {
        name: value for name, value in values.items() if value is not None and math.isfinite(value)
    }


def _read(
    connection: Connection, job_id: str, query: Select[*tuple[Any, ...]]
) -> builtins.list[Artifact]:
    rows: Sequence[Row[*tuple[Any, ...]]] = connection.execute(query).all()
    if not rows and connection.scalar(select(jobs.c.id).where(jobs.c.id == job_id)) is None:
        raise JobNotFound(job_id)
    return [artifact_from(row) for row in rows]
