"""Jobs compared at equal tokens, FLOPs and training time, as a report in Markdown."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from jobs.schemas.job import Job
from relora_core.estimate import Estimate
from relora_core.events import Evaluated, Event, StepFinished, TrainStarted
from service.client import ApiError, Client

UNKNOWN = "-"


@dataclass(frozen=True)
class Spent:
    """What a run had spent when it was evaluated, and its score."""

    tokens: float
    flops: float | None  # None: not estimated
    seconds: float  # of training, without evaluations and pauses
    perplexity: float


@dataclass(frozen=True)
class Entry:
    """A job of the report, with its evaluations in their order."""

    job: Job
    evaluations: Sequence[Spent]


Budget = Callable[[Spent], float | None]


def entry(client: Client, job_id: str) -> Entry:
    job = client.jobs.get(job_id)
    events = client.jobs.events(job_id, types=["train.started", "train.step", "train.eval"])
    return Entry(job, list(spending(events, _estimated(client, job))))


def _estimated(client: Client, job: Job) -> Estimate | None:
    """Estimate a job, unless its spec is no longer accepted, such as when its data is gone."""
    try:
        return client.jobs.estimate(job.spec.model_dump(mode="json")).estimate
    except ApiError:
        return None


def spending(events: Iterable[Event], estimated: Estimate | None) -> Iterator[Spent]:
    """Yield what was spent at each evaluation that has a perplexity.

    Steps that an attempt repeats after a stop are not spent again.
    """
    tokens_per_step = trained = 0
    seconds = 0.0
    for event in events:
        if isinstance(event, TrainStarted):
            tokens_per_step = event.tokens_per_step
        elif isinstance(event, StepFinished):
            new = max(0, event.tokens_seen - trained)
            seconds += new / event.tokens_per_second
            trained += new
        elif isinstance(event, Evaluated) and event.perplexity is not None:
            flops = None if estimated is None else _flops(estimated, event.step)
            yield Spent(event.step * tokens_per_step, flops, seconds, event.perplexity)


def _flops(estimated: Estimate, step: int) -> float:
    """Return the FLOPs of the first steps of a run, each at the cost of its phase."""
    flops = 0.0
    for phase in estimated.run.phases:
        taken = min(step, phase.steps)
        flops += taken / max(1, phase.steps) * phase.tokens * phase.executed_flops_per_token
        step -= taken
    return flops


def report(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"# {len(entries)} jobs compared"
    yield ""
    yield "| job | name | method | tokens | FLOPs | training time | peak memory | perplexity |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for each in entries:
        yield f"| {' | '.join(_whole(each))} |"
    yield ""
    yield (
        "At an equal budget, the perplexity is that of a job's last evaluation within what each "
        "of the jobs has spent. Evaluate often (`evaluation.every`) for a fair comparison."
    )
    yield ""
    yield from _at_equal_budgets(entries)


def _whole(each: Entry) -> list[str]:
    job, last = each.job, each.evaluations[-1] if each.evaluations else None
    memory = job.progress.peak_memory_bytes
    return [
        job.id,
        job.name,
        job.spec.method.name,
        f"{last.tokens:,.0f}" if last else UNKNOWN,
        f"{last.flops:.3g}" if last and last.flops is not None else UNKNOWN,
        f"{last.seconds:,.0f} s" if last else UNKNOWN,
        UNKNOWN if memory is None else decimal(memory),
        f"{last.perplexity:.3f}" if last else UNKNOWN,
    ]


def _at_equal_budgets(entries: Sequence[Entry]) -> Iterator[str]:
    budgets: tuple[tuple[str, Budget], ...] = (
        ("{:,.0f} tokens", lambda spent: spent.tokens),
        ("{:.3g} FLOPs", lambda spent: spent.flops),
        ("{:,.0f} s", lambda spent: spent.seconds),
    )
    limits = [(form, budget, _least(entries, budget)) for form, budget in budgets]
    known = [(form.format(limit), budget, limit) for form, budget, limit in limits if limit]
    yield f"| {' | '.join(['job', *(f'at {title}' for title, _, _ in known)])} |"
    yield f"| --- {'| ---: ' * len(known)}|"
    for each in entries:
        cells = [_score(each, budget, limit) for _, budget, limit in known]
        yield f"| {' | '.join([each.job.id, *cells])} |"


def _least(entries: Sequence[Entry], budget: Budget) -> float | None:
    """Return what every job has spent of the budget, or None if it is unknown of one."""
    spent = [budget(each.evaluations[-1]) if each.evaluations else None for each in entries]
    known = [each for each in spent if each is not None]
    return min(known) if len(known) == len(spent) else None


def _score(each: Entry, budget: Budget, limit: float) -> str:
    within = [spent for spent in each.evaluations if (budget(spent) or 0) <= limit]
    return f"{within[-1].perplexity:.3f}" if within else UNKNOWN
