"""Checkpoints, files and datasets, as tables for a terminal."""

from collections.abc import Sequence

from rich.filesize import decimal
from rich.table import Table

from jobs.schemas.artifacts import CheckpointEntry
from jobs.schemas.datasets import UploadedDataset
from service.cli.tables.table import Listing, as_of, details, line, moment, number
from service.schemas.responses import StoredArtifact


def checkpoint_table(items: Sequence[CheckpointEntry]) -> Listing:
    rows = Listing("kind", "step", "files", "size", "score", first="path", least="kind files step")
    for item in items:
        rows.add_row(
            item.path,
            item.kind,
            f"{item.step:,}",
            str(item.files),
            decimal(item.size),
            as_of(number(_score(item)), item.metrics_step, item.step),
        )
    return rows


def _score(saved: CheckpointEntry) -> float | None:
    """Return the perplexity of a language model or the accuracy of a classifier."""
    metrics = saved.metrics
    return metrics.get("validation_perplexity", metrics.get("validation_accuracy"))


def dataset_table(items: Sequence[UploadedDataset]) -> Listing:
    names = ("name", "file", "status", "size", "created")
    rows = Listing(*names, giving_way="name file", least="created file")
    for item in items:
        rows.add_row(
            item.id,
            line(item.name),
            line(item.filename),
            _here(item),
            decimal(item.size),
            moment(item.created_at),
        )
    return rows


def _here(dataset: UploadedDataset) -> str:
    is_whole = dataset.received >= dataset.size
    share = "" if is_whole else f" ({dataset.received / dataset.size:.0%})"
    return dataset.status + share


def artifact_table(items: Sequence[StoredArtifact]) -> Listing:
    rows = Listing("kind", "step", "size", first="path", least="step kind")
    for item in items:
        rows.add_row(
            item.path,
            item.kind,
            "-" if item.step is None else f"{item.step:,}",
            decimal(item.size),
        )
    return rows


def dataset_details(dataset: UploadedDataset) -> Table:
    return details(
        [
            ("id", dataset.id),
            ("uri", dataset.uri),
            ("name", dataset.name),
            ("file", dataset.filename),
            ("status", _here(dataset)),
            ("size", decimal(dataset.size)),
            ("sha256", dataset.sha256),
            ("created", moment(dataset.created_at)),
        ]
    )
