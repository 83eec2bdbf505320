"""Jobs as tables for a terminal."""

from rich.table import Table
from rich.text import Text

from jobs.models import Job
from service.follow import STYLES


def sheet(job: Job) -> Table:
    """One job, a fact a line."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_row("id", job.id)
    rows.add_row("name", job.name)
    rows.add_row("status", _status(job))
    rows.add_row("step", _step(job))
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


def overview(items: list[Job]) -> Table:
    """A line for each job."""
    table = Table(box=None)
    table.add_column("id", no_wrap=True, min_width=max((len(job.id) for job in items), default=2))
    for name in ("name", "status", "step", "loss", "restarts", "created"):
        table.add_column(name, no_wrap=True)
    for job in items:
        table.add_row(
            job.id,
            Text(job.name),
            _status(job),
            _step(job),
            _number(job.progress.loss),
            str(job.progress.restarts),
            f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    return table


def _status(job: Job) -> Text:
    text = Text(job.status, style=STYLES[job.status])
    return text.append(f" ({job.wish} asked)", style="dim") if job.wish else text


def _step(job: Job) -> str:
    return f"{job.progress.step:,}/{job.progress.total_steps:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"
