"""Presets, recipes, workers and the queue, as tables for a terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.filesize import decimal
from rich.text import Text

from jobs.schemas.queue import QueuedJob
from jobs.schemas.workers import Gpu, Worker, WorkerStatus
from service.cli.tables.table import Listing, line, moment
from service.schemas.presets import Preset, RecipeEntry

STYLES = {
    WorkerStatus.IDLE: "green",
    WorkerStatus.BUSY: "cyan",
    WorkerStatus.UNHEALTHY: "red",
}


def preset_table(items: Sequence[Preset]) -> Listing:
    names = ("family", "layers", "hidden", "heads", "parameters", "trainable at rank 128")
    rows = Listing(*names, first="name")
    for item in items:
        rows.add_row(
            item.name,
            item.family,
            str(item.layers),
            f"{item.hidden:,}",
            str(item.heads),
            _millions(item.parameters),
            _millions(item.trainable_at_rank_128),
        )
    return rows


def _millions(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.1f}M"


def recipe_table(items: Sequence[RecipeEntry]) -> Listing:
    names = ("model", "method", "steps", "batch", "length")
    rows = Listing(*names, first="name")
    for item in items:
        model, method, training = (item.spec[part] for part in ("model", "method", "training"))
        rows.add_row(
            item.name,
            model["preset"],
            method["name"],
            f"{training['steps']:,}",
            f"{training['global_batch_size']:,}",
            f"{item.spec['data']['sequence_length']:,}",
        )
    return rows


def queue_table(items: Sequence[QueuedJob]) -> Listing:
    """Return a table of queued jobs, in the order in which workers take them."""
    rows = Listing("place", "priority", "name", "since", least="priority name")
    for item in items:
        reason = item.unschedulable_reason or (
            "for room in the quotas" if item.waiting_for_quota else None
        )
        rows.add_row(
            item.job_id,
            str(item.position),
            str(item.priority),
            line(item.name),
            moment(item.created_at) + (f" ({reason})" if reason else ""),
        )
    return rows


def worker_table(items: Sequence[Worker]) -> Listing:
    names = ("state", "job", "heard", "problem", "GPUs")
    rows = Listing(*names, first="name", giving_way="problem GPUs", least="heard GPUs job")
    for item in items:
        rows.add_row(
            item.name,
            Text(item.status, style=STYLES[item.status]),
            item.job_id or "-",
            f"{item.last_heartbeat.astimezone():%H:%M:%S}",
            line(item.problem or "-"),
            line(_gpus(item.gpus) + (f" ({item.gpu_class})" if item.gpu_class else "")),
        )
    return rows


def _gpus(gpus: Sequence[Gpu]) -> str:
    """Return the GPUs, equal ones together, such as 8 x NVIDIA H100 80GB HBM3, 85.0 GB."""
    counts = Counter((gpu.name, gpu.memory_bytes) for gpu in gpus)
    each = [
        f"{count} x {name}" + (f", {decimal(size)}" if size is not None else "")
        for (name, size), count in counts.items()
    ]
    return "; ".join(each) or "none: trains on the CPU"
