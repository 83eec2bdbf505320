"""The live view of a job in a terminal: its events scroll by above its current progress."""

from datetime import datetime, timedelta

from rich.columns import Columns
from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.schemas.events import (
    AnyJobEvent,
    JobCancelled,
    JobClaimed,
    JobFailed,
    JobPaused,
    JobQueued,
    JobRetrying,
    JobStarted,
    JobSucceeded,
)
from jobs.schemas.job import Job, Progress
from jobs.schemas.status import JobStatus
from relora_core.events import (
    CheckpointDeleted,
    DataProgress,
    Evaluated,
    Event,
    Merged,
    PhaseStarted,
    Reinitialized,
    StepFinished,
    TrainFailed,
)
from service.cli.describe import describe, describe_line, print_event
from service.cli.loss_curve import LossCurve
from service.cli.tables.table import as_of
from service.client import Client
from service.client.sse import Listener

STATUS_AFTER: dict[type[Event], JobStatus] = {
    JobQueued: JobStatus.QUEUED,
    JobRetrying: JobStatus.QUEUED,
    JobClaimed: JobStatus.STARTING,
    JobStarted: JobStatus.RUNNING,
    JobPaused: JobStatus.PAUSED,
    JobSucceeded: JobStatus.SUCCEEDED,
    JobFailed: JobStatus.FAILED,
    JobCancelled: JobStatus.CANCELLED,
}
STYLES = {
    JobStatus.QUEUED: "yellow",
    JobStatus.STARTING: "yellow",
    JobStatus.RUNNING: "cyan",
    JobStatus.PAUSED: "yellow",
    JobStatus.SUCCEEDED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "red",
}
DRAWN = (DataProgress, StepFinished)  # shown in the live view, or printed at times without one
# The others are rarely of interest. The job event after a TrainFailed gives the reason.
UNTOLD = (*DRAWN, Reinitialized, CheckpointDeleted, TrainFailed)
PLAIN_EVERY = timedelta(seconds=5)  # time between printed lines of `DRAWN` events


def follow(client: Client, job_id: str, console: Console, notices: Console) -> Job:
    """Show the job until it is over, and return its final state.

    `notices`, which is stderr, gets a line when the stream breaks and when it resumes.
    """
    job = client.jobs.get(job_id)
    if job.status is JobStatus.QUEUED:
        now = client.jobs.progress(job_id)
        if now.queue_position is not None:  # otherwise a worker has claimed it in the meantime
            console.print(_place(now), soft_wrap=True)
    if console.is_terminal:
        _draw(client, job, console, notices)
    else:
        _print_plainly(client, job_id, console, notices)
    return client.jobs.get(job_id)


def _place(now: Progress) -> Text:
    """Return the place of a job in the queue, and the reason if no worker can run it."""
    place = f"place {now.queue_position} in the queue"
    reason = now.unschedulable_reason
    return Text(f"{place}; {reason}" if reason else place, style="dim")


def _draw(client: Client, job: Job, console: Console, notices: Console) -> None:
    now = Now(job)
    # If stderr is the terminal too, a notice must be printed above the live view, not into it.
    above = console if notices.is_terminal else notices
    with Live(now, console=console, refresh_per_second=8):
        for event in client.jobs.stream(job.id, listener=told_on(above)):
            now.apply(event)
            if not isinstance(event, UNTOLD):
                print_event(console, describe(event))


def told_on(console: Console) -> Listener:
    """Return a listener that prints a line when a stream breaks and when it resumes."""
    return lambda news: print_event(console, describe_line(news))


def _print_plainly(client: Client, job_id: str, console: Console, notices: Console) -> None:
    drawn_at: datetime | None = None  # when an event of `DRAWN` was last printed
    for event in client.jobs.stream(job_id, listener=told_on(notices)):
        if isinstance(event, DRAWN) and (drawn_at is None or event.time - drawn_at >= PLAIN_EVERY):
            drawn_at = event.time
        elif isinstance(event, UNTOLD):
            continue
        print_event(console, describe(event))


class Now:
    """The current state of a job, updated by its events.

    It renders as a loss curve, a progress bar and numbers.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._status = JobStatus.QUEUED
        self._phase: str | None = None
        self._step: StepFinished | None = None
        self._data: DataProgress | None = None
        self._evaluated: Evaluated | None = None
        self._curve = LossCurve(job.spec.total_steps)

    def apply(self, event: AnyJobEvent) -> None:
        self._status = STATUS_AFTER.get(type(event), self._status)
        match event:
            case DataProgress():
                self._data = event
            case StepFinished():
                self._step, self._phase = event, event.phase
                self._curve.add(event.step, event.loss)
            case Merged():
                self._curve.mark_restart(event.step)
            case PhaseStarted():
                self._phase = event.phase
                if event.phase == "low_rank" and event.step:
                    self._curve.low_rank_from = event.step
            case Evaluated():
                self._evaluated = event

    def __rich__(self) -> ConsoleRenderable:
        return Padding(
            Group(self._curve, self._title(), self._bar(), self._numbers()), (1, 0, 0, 0)
        )

    def _title(self) -> Text:
        title = Text.assemble(
            (self._job.name, "bold"), ("  ", ""), (self._status, f"bold {STYLES[self._status]}")
        )
        if self._phase and self._status is JobStatus.RUNNING:
            title.append(f"  {self._phase.replace('_', ' ')}", style="magenta")
        return title.append(f"  {self._job.id}", style="dim")

    def _bar(self) -> Table:
        step, total = self._step.step if self._step else 0, self._job.spec.total_steps
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        count = Text.assemble(
            (f"{step:,}", "bold"), (f"/{total:,}", "dim"), f"  {step / total:.0%}"
        )
        row.add_row(ProgressBar(total=total, completed=step, complete_style="cyan"), count)
        return row

    def _numbers(self) -> ConsoleRenderable:
        if self._step is None:
            return Text(str(self._data or "no step yet"), style="dim")
        values = {
            "loss": f"{self._step.loss:.3f}",
            **self._learning_rates(self._step),
            **self._score(),
            **self._how_far(self._step),
            f"{self._step.unit}/s": f"{self._step.tokens_per_second:,.0f}",
            "ETA": self._eta(self._step),
        }
        parts = [
            Text.assemble((f"{name} ", "dim"), (value, "bold"), no_wrap=True)
            for name, value in values.items()
        ]
        return Columns(parts, padding=(0, 2, 0, 0))

    def _learning_rates(self, step: StepFinished) -> dict[str, str]:
        rates = {"lr": step.learning_rate, "lr of A and B": step.factor_learning_rate}
        return {name: f"{rate:.2e}" for name, rate in rates.items() if rate is not None}

    def _score(self) -> dict[str, str]:
        if self._job.spec.task == "image_classification":
            accuracy = self._evaluated and self._evaluated.accuracy
            return {"accuracy": "-" if accuracy is None else self._as_of(f"{accuracy:.1%}")}
        perplexity = self._evaluated and self._evaluated.perplexity
        return {"ppl": "-" if perplexity is None else self._as_of(f"{perplexity:,.1f}")}

    def _how_far(self, step: StepFinished) -> dict[str, str]:
        """Return the epoch and the number of restarts, if the run has them."""
        told = {} if step.epoch is None else {"epoch": f"{step.epoch:,.2f}"}
        if self._job.spec.reset_every is not None:
            told["ReLoRA restarts"] = f"{step.restarts}"
        return told

    def _as_of(self, score: str) -> str:
        measured = self._evaluated.step if self._evaluated else None
        return as_of(score, measured, self._step.step if self._step else 0)

    def _eta(self, step: StepFinished) -> str:
        if step.tokens_per_second <= 0 or self._status is not JobStatus.RUNNING:
            return "-"
        tokens = (step.total_steps - step.step) * self._job.spec.tokens_per_step
        return str(timedelta(seconds=round(tokens / step.tokens_per_second)))
