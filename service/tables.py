"""What the service says, as tables for a terminal."""

from collections.abc import Sequence
from datetime import datetime

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from jobs.artifacts import Checkpoint
from jobs.datasets.models import Dataset
from jobs.keys.models import ApiKey
from jobs.models import Job
from jobs.secrets import Secret
from jobs.status import JobStatus
from jobs.sweeps.models import SweepJob, SweepSummary
from service.follow import STYLES
from service.presets import Preset


def sheet(job: Job) -> Table:
    """One job, a fact a line."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_row("id", job.id)
    rows.add_row("name", Text(job.name))
    rows.add_row("status", _wished(job))
    rows.add_row("step", _step(job.progress.step, job.progress.total_steps))
    rows.add_row("loss", _number(job.progress.loss))
    if job.spec.task == "image_classification":
        rows.add_row("accuracy", _number(job.progress.validation_accuracy))
    else:
        rows.add_row("perplexity", _number(job.progress.validation_perplexity))
    rows.add_row("restarts", str(job.progress.restarts))
    rows.add_row("attempt", f"{job.attempt} of {job.spec.retries.max_attempts}")
    rows.add_row("worker", job.worker or "-")
    if job.error:
        rows.add_row("error", Text(job.error.message, style="red"))
    return rows


def overview(items: Sequence[Job]) -> Table:
    """A line for each job."""
    table = _table([job.id for job in items], "name", "status", "step", "loss", "created")
    for job in items:
        table.add_row(
            job.id,
            Text(job.name),
            _wished(job),
            _step(job.progress.step, job.progress.total_steps),
            _number(job.progress.loss),
            _time(job.created_at),
        )
    return table


def comparison_table(items: Sequence[SweepJob]) -> Table:
    """Jobs side by side: what is other in each, and how far each came."""
    fields = list(dict.fromkeys(field for item in items for field in item.changes))
    table = _table(
        [item.job_id for item in items],
        *fields,
        *("status", "loss", "ppl", "tokens/s", "memory", "name"),
    )
    for item in items:
        table.add_row(
            item.job_id,
            *(str(item.changes.get(field, "-")) for field in fields),
            _status_and_share(item),
            _number(item.loss),
            _number(item.validation_perplexity or item.validation_accuracy),
            "-" if item.tokens_per_second is None else f"{item.tokens_per_second:,.0f}",
            "-" if item.peak_memory_bytes is None else decimal(item.peak_memory_bytes),
            Text(item.name),
        )
    return table


def sweep_table(items: Sequence[SweepSummary]) -> Table:
    table = _table([item.id for item in items], "name", "jobs", "created")
    for item in items:
        counts = [f"{count} {status}" for status, count in item.counts.items() if count]
        table.add_row(item.id, Text(item.name), ", ".join(counts), _time(item.created_at))
    return table


def checkpoint_table(items: Sequence[Checkpoint]) -> Table:
    table = _table([item.path for item in items], "kind", "step", "files", "size", "perplexity")
    for item in items:
        table.add_row(
            item.path,
            item.kind,
            f"{item.step:,}",
            str(item.files),
            decimal(item.size),
            _number(item.metrics.get("validation_perplexity")),
        )
    return table


def dataset_table(items: Sequence[Dataset]) -> Table:
    table = _table([item.id for item in items], "name", "file", "status", "size", "created")
    for item in items:
        here = f" ({item.received / item.size:.0%})" if item.received < item.size else ""
        table.add_row(
            item.id,
            Text(item.name),
            item.filename,
            item.status + here,
            decimal(item.size),
            _time(item.created_at),
        )
    return table


def key_table(items: Sequence[ApiKey]) -> Table:
    table = _table([item.id for item in items], "name", "scope", "begins", "state", "last used")
    for item in items:
        table.add_row(
            item.id,
            Text(item.name),
            item.scope,
            item.prefix,
            _usable(item),
            _time(item.last_used_at),
        )
    return table


def _usable(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "usable"


def secret_table(items: Sequence[Secret]) -> Table:
    table = _table([item.name for item in items], "changed", first="name")
    for item in items:
        table.add_row(item.name, _time(item.updated_at))
    return table


def preset_table(items: Sequence[Preset]) -> Table:
    names = ("family", "layers", "hidden", "heads", "parameters", "trainable at rank 128")
    table = _table([item.name for item in items], *names, first="name")
    for item in items:
        table.add_row(
            item.name,
            item.family,
            str(item.layers),
            f"{item.hidden:,}",
            str(item.heads),
            _millions(item.parameters),
            _millions(item.trainable_at_rank_128),
        )
    return table


def _table(ids: Sequence[str], *names: str, first: str = "id") -> Table:
    """The ids stand whole, however narrow the terminal is; names of people's choice give way."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, min_width=max(map(len, ids), default=2))
    for name in names:
        table.add_column(name, no_wrap=name != "name", overflow="ellipsis")
    return table


def _wished(job: Job) -> Text:
    text = _status(job.status)
    return text.append(f" ({job.wish} asked)", style="dim") if job.wish else text


def _status(status: JobStatus) -> Text:
    return Text(status, style=STYLES[status])


def _status_and_share(item: SweepJob) -> Text:
    text = _status(item.status)
    if item.status is JobStatus.RUNNING:
        text.append(f" {item.step / item.total_steps:.0%}", style="dim")
    return text


def _step(step: int, total: int) -> str:
    return f"{step:,}/{total:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def _millions(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.1f}M"


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment.astimezone():%m-%d %H:%M}"
