"""The page of an experiment, from its stored results."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.lab.experiments import Arm, Experiment, Hypothesis
from benchmarks.lab.paired import Paired, holm
from benchmarks.lab.plan import Tuned, left, seed_runs, tuned
from benchmarks.lab.records import Ranks, Record, Results

MARGIN = 0.01  # of perplexity, for `equivalent`
SIGNIFICANT = 0.05
NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Outcome:
    """A hypothesis with the differences that were measured, in ln(perplexity)."""

    hypothesis: Hypothesis
    differences: tuple[float, ...]
    lost: int  # seeds of which a run is missing or diverged

    @property
    def p_value(self) -> float:
        """The p-value of the claim; 1 without two pairs, or if a run of the arm diverged."""
        if self.lost or len(self.differences) < 2:
            return 1.0
        paired = Paired(self.differences)
        within = self.hypothesis.claim == "equivalent"
        return paired.p_within(math.log1p(MARGIN)) if within else paired.p_below()


def page(experiment: Experiment, results: Results) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from _heading(experiment, results)
    yield ""
    yield from _rates(experiment, results)
    yield ""
    yield from _arms(experiment, results)
    if experiment.hypotheses:
        yield ""
        yield from _hypotheses(experiment, results)


def of_arm(experiment: Experiment, arm: Arm, results: Results) -> list[Record]:
    """Return the results of an arm with its best rate, in the order of the seeds.

    Without seeds, it is that of the tuning seed.
    """
    best = tuned(experiment, arm, results).best
    runs = seed_runs(experiment, arm, results) if experiment.seeds else [best] if best else []
    return [results[run] for run in runs if run in results]


def common_losses(
    experiment: Experiment, arms: Iterable[Arm], results: Results
) -> list[tuple[float, ...]]:
    """Return the losses of each arm, of the seeds of which no arm's run is missing or diverged."""
    by_seed = [
        {r.run.seed: r.loss for r in of_arm(experiment, arm, results) if not r.diverged}
        for arm in arms
    ]
    seeds = [seed for seed in experiment.seeds if all(seed in losses for losses in by_seed)]
    return [tuple(losses[seed] for seed in seeds) for losses in by_seed]


def outcomes(experiment: Experiment, results: Results) -> list[Outcome]:
    return [_outcome(experiment, hypothesis, results) for hypothesis in experiment.hypotheses]


def _outcome(experiment: Experiment, hypothesis: Hypothesis, results: Results) -> Outcome:
    arms = [experiment.arm(name) for name in (hypothesis.arm, hypothesis.baseline)]
    pairs = zip(*common_losses(experiment, arms, results), strict=True)
    differences = tuple(loss - baseline for loss, baseline in pairs)
    return Outcome(hypothesis, differences, lost=len(experiment.seeds) - len(differences))


def _heading(experiment: Experiment, results: Results) -> Iterator[str]:
    model, records = experiment.model, list(results.values())
    tokens = experiment.steps * model.tokens_per_step
    again = ", which is not used again" if experiment.seeds else ", and are not run again"
    yield (
        f"Model {model.name}: {_shape(model.config)}, vocabulary {model.vocabulary:,}. "
        f"{experiment.steps:,} steps of {model.sequences} x {model.sequence_length} tokens, "
        f"{tokens / 1e6:.1f}M in all; the rates are tried in {experiment.steps_of('rates'):,} "
        f"steps with seed {experiment.tuning_seed}{again}."
    )
    yield ""
    yield state(experiment, results)
    if records:
        yield (
            f"They ran on {_each(record.machine.cpu for record in records)}, load average before "
            f"{_each(f'{record.machine.load_average:.1f}' for record in records)}; commit "
            f"{_each(record.machine.commit for record in records)}; text "
            f"{_each(f'`{record.text_sha256[:12]}`' for record in records)}."
        )


def state(experiment: Experiment, results: Results) -> str:
    """Return how many runs there are, and how many are left. A part is no finding."""
    fewest, most = left(experiment, results).runs
    if not most:
        return f"**Complete**: {len(results)} runs."
    range_ = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    if not results:
        return f"**Not run yet**: {range_} runs."
    return (
        f"**Not complete**: {len(results)} runs are there, {range_} are left. "
        "Nothing follows from a part of an experiment."
    )


def _shape(config: Mapping[str, object]) -> str:
    names = {
        "hidden_size": "hidden size",
        "intermediate_size": "feed-forward size",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
    }
    return ", ".join(f"{words} {config[name]}" for name, words in names.items())


def _rates(experiment: Experiment, results: Results) -> Iterator[str]:
    yield "| arm | rate that is tried | tries | each rate and its perplexity | best |"
    yield "| --- | --- | ---: | --- | --- |"
    for arm in experiment.arms:
        found = tuned(experiment, arm, results)
        tries = [run for run in found.tries if run in results]
        points = ", ".join(f"{run.rate:.4g}: {_perplexity(results[run])}" for run in tries)
        cells = [
            arm.title,
            f"`{arm.rates.field}`",
            str(len(tries)),
            points or NOT_RUN,
            _best(found),
        ]
        yield f"| {' | '.join(cells)} |"


def _best(found: Tuned) -> str:
    if found.best is None:
        return NOT_RUN
    return f"{found.best.rate:.4g}" + (" (**at the edge of the grid**)" if found.at_edge else "")


def _arms(experiment: Experiment, results: Results) -> Iterator[str]:
    yield (
        "| arm | trained at the end | perplexity, mean | 95% interval | each seed | bits/byte "
        "| effective rank, condition number of the update | the same of W | TFLOP | seconds "
        "| peak memory, MiB |"
    )
    yield "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for arm in experiment.arms:
        records = of_arm(experiment, arm, results)
        cells = _measured(records) if records else [NOT_RUN, *[""] * 9]
        yield f"| {' | '.join([arm.title, *cells])} |"


def _measured(records: Sequence[Record]) -> list[str]:
    good = [record for record in records if not record.diverged]
    losses = Paired(tuple(record.loss for record in good))
    ranks = [record.ranks[-1] for record in good if record.ranks]
    memory = [record.peak_memory_bytes for record in records if record.peak_memory_bytes]
    return [
        f"{records[0].trained_parameters / 1e6:.3f}M",
        f"{math.exp(losses.mean):.2f}" if good else "diverged",
        " to ".join(f"{math.exp(end):.2f}" for end in losses.ends()),
        ", ".join(map(_perplexity, records)),
        _mean([record.bits_per_byte for record in good], ".3f"),
        _pair(ranks, lambda each: each.effective_rank, lambda each: each.condition_number),
        _pair(
            ranks,
            lambda each: each.weight_effective_rank,
            lambda each: each.weight_condition_number,
        ),
        _mean([record.executed_flops / 1e12 for record in records], ".1f"),
        _mean([record.seconds for record in records], ".0f"),
        _mean([size / 2**20 for size in memory], ".0f"),
    ]


def _pair(ranks: Sequence[Ranks], *parts: Callable[[Ranks], float | None]) -> str:
    """Return the means over the seeds, of what was measured."""
    values = [[value for each in ranks if (value := part(each)) is not None] for part in parts]
    return ", ".join(_mean(each, ".3g") for each in values if each)


def _hypotheses(experiment: Experiment, results: Results) -> Iterator[str]:
    found = outcomes(experiment, results)
    adjusted = holm([each.p_value for each in found])
    yield (
        "| hypothesis | difference of perplexity, mean | 95% interval | each seed | p "
        "| p after Holm | |"
    )
    yield "| --- | ---: | ---: | --- | ---: | ---: | --- |"
    for each, p_value in zip(found, adjusted, strict=True):
        yield f"| {' | '.join([_claim(each.hypothesis), *_cells(each, p_value)])} |"


def _claim(hypothesis: Hypothesis) -> str:
    if hypothesis.claim == "lower":
        return f"`{hypothesis.arm}` is below `{hypothesis.baseline}`"
    return f"`{hypothesis.arm}` is within {MARGIN:.0%} of `{hypothesis.baseline}`"


def _cells(each: Outcome, adjusted: float) -> list[str]:
    if len(each.differences) < 2:
        return [NOT_RUN, *[""] * 5]
    paired = Paired(each.differences)
    verdict = "shown" if adjusted < SIGNIFICANT else "not shown"
    return [
        percent(paired.mean),
        " to ".join(map(percent, paired.interval())),
        ", ".join(map(percent, each.differences)),
        f"{each.p_value:.3g}",
        f"{adjusted:.3g}",
        f"**{verdict}**" + (f", {each.lost} seeds lost" if each.lost else ""),
    ]


def percent(difference: float) -> str:
    """Return a difference of ln(perplexity) as one of perplexity."""
    return f"{math.expm1(difference):+.2%}"


def _perplexity(record: Record) -> str:
    return "diverged" if record.diverged else f"{math.exp(record.loss):.2f}"


def _mean(numbers: Sequence[float], form: str) -> str:
    return format(sum(numbers) / len(numbers), form) if numbers else ""


def _each(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
