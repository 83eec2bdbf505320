"""The files that jobs made, as people look for them: by kind, by step, whole folders."""

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

MODELS = ("final", "merged")  # in the order in which they are preferred


@dataclass(frozen=True)
class Selection:
    """Which files of a job are asked for."""

    kind: ArtifactKind | None = None
    step: int | None = None
    prefix: str = ""


class JobFiles:
    """Reading alone; what a job has is listed by the worker that holds it."""

    def __init__(self, engine: Engine) -> None:
        self._reads = engine.execution_options(**READ_ONLY)

    def list(
        self,
        job_id: str,
        which: Selection,
        *,
        limit: int = 100,
        after: str = "",
    ) -> builtins.list[Artifact]:
        """Sorted by path; `after` is the path of the last file of the page before."""
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
        """The files of one merged model, sorted by path.

        That of a step or, without one, the final model and before it is there the newest of the
        others. Raises `ModelNotFound`.
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
        """The newest first; of the same step the checkpoint before the model.

        `after` is the `position` of the last of the page before.
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
    """The model or checkpoint that a file is part of: `final`, `merged/step-00001000`."""
    parts = artifact.path.split("/")
    return parts[0] if artifact.kind == "final" else "/".join(parts[:2])


def digest(files: Sequence[Artifact]) -> str:
    """One hash for a folder: of what `sha256sum` prints in it for the files, sorted by name."""
    folder = folder_of(files[0])
    lines = (f"{file.sha256}  {file.path.removeprefix(folder + '/')}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _newest_first(saved: CheckpointEntry) -> tuple[int, str]:
    return -saved.step, saved.kind


def _folders(files: Iterable[Artifact]) -> builtins.list[builtins.list[Artifact]]:
    """The files of each folder; they come sorted by path."""
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
