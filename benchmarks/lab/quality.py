"""What the results of the lab say about ReLoRA: the part of docs/quality.md that is generated."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.lab.declared import EXPERIMENTS
from benchmarks.lab.experiments import Experiment
from benchmarks.lab.page import (
    MARGIN,
    NOT_RUN,
    SIGNIFICANT,
    Outcome,
    common_losses,
    outcomes,
    percent,
    state,
)
from benchmarks.lab.paired import Paired, holm
from benchmarks.lab.plan import tuned
from benchmarks.lab.records import Results

SCREENINGS = ("restarts", "options", "ablations", "peers")


@dataclass(frozen=True)
class Gap:
    """An experiment's losses of full rank, one update and restarts at one rank, by seed."""

    experiment: Experiment
    rank: int
    full: tuple[float, ...]
    one_update: tuple[float, ...]
    restarts: tuple[float, ...]

    @property
    def share_of_width(self) -> float:
        width: int = self.experiment.model.config["hidden_size"]
        return self.rank / width

    def to_full(self, losses: Sequence[float]) -> Paired:
        """Return the differences from full rank, in ln(perplexity)."""
        return _paired(losses, self.full)

    @property
    def closed(self) -> Paired:
        """The share of the gap between one update and full rank that restarts close."""
        triples = zip(self.full, self.one_update, self.restarts, strict=True)
        return Paired(tuple((one - many) / (one - full) for full, one, many in triples))


def gaps(results: Mapping[str, Results]) -> Iterator[Gap]:
    """Yield a gap for each rank of each experiment with seeds, of the seeds that have all arms."""
    for experiment in _with_seeds():
        arms = {arm.name: arm for arm in experiment.arms}
        for arm in experiment.arms:
            name, _, rank = arm.name.rpartition("_")
            if name == "relora":
                chosen = [arms["full"], arms[f"lora_{rank}"], arm]
                losses = common_losses(experiment, chosen, results[experiment.name])
                yield Gap(experiment, int(rank), *losses)


def quality(results: Mapping[str, Results]) -> Iterator[str]:
    """Yield the lines of the page. `results` has those of each experiment by its name."""
    yield from _gap_table(list(gaps(results)))
    for experiment in _with_seeds():
        yield ""
        yield f"{_heading(experiment)}. {state(experiment, results[experiment.name])}"
        yield ""
        yield from _claims(experiment, results[experiment.name])
    for name in SCREENINGS:
        yield ""
        yield from _screening(EXPERIMENTS[name], results[name])


def _with_seeds() -> Iterator[Experiment]:
    """Yield the experiments that show something; the quick one is too short to show anything."""
    yield EXPERIMENTS["s"]
    yield EXPERIMENTS["m"]


def _heading(experiment: Experiment) -> str:
    return experiment.title[0].upper() + experiment.title[1:]


def _paired(losses: Sequence[float], baseline: Sequence[float]) -> Paired:
    return Paired(tuple(a - b for a, b in zip(losses, baseline, strict=True)))


def _gap_table(found: Sequence[Gap]) -> Iterator[str]:
    yield (
        "| model, rank / width | seeds | full rank | one update | restarts "
        "| restarts against one update | one update against full rank "
        "| restarts against full rank | share of the gap that restarts close |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for gap in found:
        share = f"{gap.experiment.model.name}, 1/{round(1 / gap.share_of_width)}"
        seeds = f"{len(gap.full)} of {len(gap.experiment.seeds)}"
        yield f"| {' | '.join([share, seeds, *_gap_cells(gap)])} |"


def _gap_cells(gap: Gap) -> list[str]:
    if not gap.full:
        return [NOT_RUN, *[""] * 6]
    perplexities = [
        f"{math.exp(Paired(losses).mean):.2f}"
        for losses in (gap.full, gap.one_update, gap.restarts)
    ]
    differences = [
        _paired(gap.restarts, gap.one_update),
        gap.to_full(gap.one_update),
        gap.to_full(gap.restarts),
    ]
    return [*perplexities, *map(_with_interval, differences), _share(gap.closed)]


def _with_interval(paired: Paired) -> str:
    """Return a difference of ln(perplexity) as one of perplexity, with its 95% interval."""
    return _ends(percent(paired.mean), map(percent, paired.ends()))


def _share(paired: Paired) -> str:
    return _ends(f"{paired.mean:.0%}", (f"{end:.0%}" for end in paired.ends()))


def _ends(mean: str, ends: Iterable[str]) -> str:
    interval = " to ".join(ends)
    return f"{mean} ({interval})" if interval else mean


def _claims(experiment: Experiment, results: Results) -> Iterator[str]:
    found = outcomes(experiment, results)
    adjusted = holm([each.p_value for each in found])
    for each, p_value in zip(found, adjusted, strict=True):
        yield f"- {_claim(each)}: {_verdict(each, p_value)}"


def _claim(outcome: Outcome) -> str:
    arm, baseline = outcome.hypothesis.arm, outcome.hypothesis.baseline
    if outcome.hypothesis.claim == "lower":
        return f"`{arm}` has a lower perplexity than `{baseline}`"
    return f"`{arm}` is within {MARGIN:.0%} of `{baseline}`"


def _verdict(outcome: Outcome, adjusted: float) -> str:
    if len(outcome.differences) < 2:
        return f"{NOT_RUN}."
    paired = Paired(outcome.differences)
    shown = "shown" if adjusted < SIGNIFICANT else "not shown"
    return f"**{shown}**; the difference is {_with_interval(paired)}, p {adjusted:.3g}."


def _screening(experiment: Experiment, results: Results) -> Iterator[str]:
    """Yield the arms of an experiment without seeds, the best first."""
    yield f"### {_heading(experiment)}"
    yield ""
    yield state(experiment, results)
    best = [
        (arm, results[run])
        for arm in experiment.arms
        if (run := tuned(experiment, arm, results).best) is not None
    ]
    if not best:
        return
    against = [
        (arm.name, record.loss)
        for arm, record in best
        if arm.name.startswith(("full", "lora_", "relora_"))
    ]
    yield ""
    yield f"| arm | perplexity | {' | '.join(f'against `{name}`' for name, _ in against)} |"
    yield f"| --- | ---: |{' ---: |' * len(against)}"
    for arm, record in sorted(best, key=lambda each: each[1].loss):
        cells = [
            "" if name == arm.name else percent(record.loss - other) for name, other in against
        ]
        yield f"| {' | '.join([arm.title, f'{math.exp(record.loss):.2f}', *cells])} |"
