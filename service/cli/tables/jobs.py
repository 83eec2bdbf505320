"""Jobs and sweeps, as tables for a terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from jobs.schemas.sweeps import SweepJob, SweepSummary
from relora_core.spec import ConfigModel, PresetModel, PretrainedModel
from service.cli.follow import STYLES
from service.cli.tables.table import Fact, Listing, as_of, details, line, moment, number

OF_EACH = ("status", "loss", "ppl", "tokens/s", "memory", "name")  # columns of a comparison


def job_details(job: Job) -> Table:
    return details([*_who(job), *_where(job), *_how(job)])


def _who(job: Job) -> Iterator[Fact]:
    yield "id", job.id
    yield "name", job.name
    if job.labels:
        yield "labels", ", ".join(f"{key}={value}" for key, value in sorted(job.labels.items()))
    if job.forked_from:
        yield "forked from", job.forked_from
    yield "status", _status_and_request(job)
    yield "method", job.spec.method.name
    yield "model", _model(job)
    yield "created", moment(job.created_at)
    yield "started", moment(job.started_at)
    if job.finished_at:
        yield "finished", moment(job.finished_at)


def _model(job: Job) -> str:
    match job.spec.model:
        case PresetModel(preset=name) | PretrainedModel(pretrained=name):
            return name
        case ConfigModel(config=config):
            return str(config.get("model_type", "-"))


def _where(job: Job) -> Iterator[Fact]:
    now = job.progress
    if now.queue_position is not None:
        yield "in the queue", f"place {now.queue_position}, priority {job.priority}"
    if now.unschedulable_reason is not None:
        yield "waits because", now.unschedulable_reason
    if now.phase and job.status is JobStatus.RUNNING:
        yield "phase", now.phase.replace("_", " ")
    yield "step", _step(now.step, now.total_steps)
    if now.epoch is not None:
        yield "epoch", f"{now.epoch:,.2f}"
    if now.eta_seconds is not None and job.status is JobStatus.RUNNING:
        yield "ETA", str(timedelta(seconds=round(now.eta_seconds)))


def _how(job: Job) -> Iterator[Fact]:
    now = job.progress
    yield "loss", number(now.loss)
    if job.spec.task == "image_classification":
        yield "accuracy", as_of(number(now.validation_accuracy), now.validation_step, now.step)
    else:
        yield "perplexity", as_of(number(now.validation_perplexity), now.validation_step, now.step)
    yield f"{job.spec.unit}/s", _pace(now.tokens_per_second)
    yield "ReLoRA restarts", str(now.restarts)
    if now.restart_report:
        yield "last report", str(now.restart_report)
    yield "attempt", _attempt(job)
    yield "worker", job.worker or "-"
    if job.gpu_hours:
        yield "GPU hours", f"{job.gpu_hours:,.2f}"
    if job.error:
        yield "error", Text(job.error.message, style="red")


def _attempt(job: Job) -> str:
    """Return the attempts and the failed ones.

    An attempt that ended by a pause or a stopped worker is not failed.
    """
    return f"{job.attempt} ({job.failed_attempts} of {job.spec.retries.max_attempts} failed)"


def overview(items: Sequence[Job]) -> Listing:
    """Return a table with a line for each job."""
    rows = Listing(
        "name", "method", "status", "step", "loss", "created", least="method created loss step"
    )
    for job in items:
        rows.add_row(
            job.id,
            line(job.name),
            job.spec.method.name,
            _status_and_request(job),
            _step(job.progress.step, job.progress.total_steps),
            number(job.progress.loss),
            moment(job.created_at),
        )
    return rows


def comparison_table(items: Sequence[SweepJob]) -> Listing:
    """Return a table that compares jobs: the fields that differ, and their results."""
    fields = list(dict.fromkeys(field for item in items for field in item.changes))
    rows = Listing(
        *_short(fields),
        *OF_EACH,
    )
    for item in items:
        rows.add_row(
            item.job_id,
            *(str(item.changes.get(field, "-")) for field in fields),
            _status_and_share(item),
            number(item.loss),
            as_of(
                number(item.validation_perplexity or item.validation_accuracy),
                item.validation_step,
                item.step,
            ),
            _pace(item.tokens_per_second),
            "-" if item.peak_memory_bytes is None else decimal(item.peak_memory_bytes),
            line(item.name),
        )
    return rows


def _short(fields: Sequence[str]) -> list[str]:
    """Shorten `method.rank` to `rank`, unless another column has that name too."""
    last = [field.rpartition(".")[2] for field in fields]
    taken = Counter((*last, *OF_EACH))
    return [end if taken[end] == 1 else field for field, end in zip(fields, last, strict=True)]


def sweep_table(items: Sequence[SweepSummary]) -> Listing:
    names = ("name", "jobs", "created")
    rows = Listing(*names, giving_way="name jobs", least="created")
    for item in items:
        counts = [f"{count} {status}" for status, count in item.counts.items() if count]
        rows.add_row(item.id, line(item.name), line(", ".join(counts)), moment(item.created_at))
    return rows


def _status_and_request(job: Job) -> Text:
    text = _status(job.status)
    asked = job.requested_action
    return text.append(f" ({asked} asked)", style="dim") if asked else text


def _status(status: JobStatus) -> Text:
    return Text(status, style=STYLES[status])


def _status_and_share(item: SweepJob) -> Text:
    text = _status(item.status)
    if item.status is JobStatus.RUNNING:
        text.append(f" {item.step / item.total_steps:.0%}", style="dim")
    return text


def _pace(per_second: float | None) -> str:
    return "-" if per_second is None else f"{per_second:,.0f}"


def _step(step: int, total: int) -> str:
    return f"{step:,}/{total:,}"
