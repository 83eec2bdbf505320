"""The pictures of an experiment and of the page on quality."""

import math
from collections.abc import Iterable, Sequence
from io import StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.lab.experiments import Experiment
from benchmarks.lab.page import of_arm
from benchmarks.lab.plan import tuned
from benchmarks.lab.quality import Gap
from benchmarks.lab.records import Record, Results


def quality_picture(gaps: Iterable[Gap], restarts: Experiment, results: Results) -> str:
    """Return the gap to full rank against rank, and the perplexity against restarts, as one SVG.

    `results` are those of the experiment `restarts`.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    by_rank, by_restarts = figure.subplots(1, 2)
    by_rank.axhline(0, color="tab:gray", linewidth=1)
    for gap in gaps:
        for name, losses, color in (
            ("one update", gap.one_update, "C1"),
            ("restarts", gap.restarts, "C0"),
        ):
            over = [100 * math.expm1(each) for each in gap.to_full(losses).differences]
            model = gap.experiment.model.name
            ranks = [gap.share_of_width] * len(over)
            marker = "o" if model == "S" else "s"
            by_rank.plot(
                ranks, over, marker, color=color, fillstyle="none", label=f"{model}, {name}"
            )
    by_rank.set_xscale("log", base=2)
    by_rank.set(xlabel="rank / width", ylabel="perplexity over full rank, %")
    handles, labels = by_rank.get_legend_handles_labels()
    if labels:
        unique = dict(zip(labels, handles, strict=True))
        by_rank.legend(unique.values(), unique.keys(), fontsize="small")
    for arm in restarts.arms:
        best = tuned(restarts, arm, results).best
        if best and arm.name != "full" and not results[best].diverged:
            by_restarts.plot(results[best].restarts, math.exp(results[best].loss), "o", color="C0")
    by_restarts.set(xlabel="restarts", ylabel="validation perplexity")
    return _svg(figure)


def picture(experiment: Experiment, results: Results) -> str:
    """Return the pictures as one SVG. The same results give the same bytes."""
    figure = Figure(figsize=(11, max(3.6, 0.3 * len(experiment.arms))), layout="constrained")
    seeds, losses, ranks = figure.subplots(1, 3)
    for place, arm in enumerate(experiment.arms):
        records = [r for r in of_arm(experiment, arm, results) if not r.diverged]
        color = f"C{place}"
        _points(seeds, place, records, color)
        _losses(losses, records, color)
        _ranks(ranks, records, color, arm.name)
    seeds.set_yticks(range(len(experiment.arms)), [arm.name for arm in experiment.arms])
    seeds.invert_yaxis()
    seeds.set(xlabel="validation perplexity (one mark: one seed)")
    losses.set(xlabel="step", ylabel="validation perplexity")
    ranks.set(xlabel="step", ylabel="effective rank of the update")
    if ranks.lines:
        ranks.legend(fontsize="small")
    return _svg(figure)


def _points(axes: Axes, place: int, records: Sequence[Record], color: str) -> None:
    perplexities = [math.exp(record.loss) for record in records]
    axes.plot(perplexities, [place] * len(records), "|", color=color, markersize=14)


def _losses(axes: Axes, records: Sequence[Record], color: str) -> None:
    for record in records:
        later = [each for each in record.evaluations if each.step]
        steps = [each.step for each in later]
        axes.plot(steps, [math.exp(each.loss) for each in later], ".-", color=color, linewidth=1)


def _ranks(axes: Axes, records: Sequence[Record], color: str, name: str) -> None:
    for number, record in enumerate(records):
        if record.ranks:
            steps = [each.step for each in record.ranks]
            values = [each.effective_rank for each in record.ranks]
            label = None if number else name
            axes.plot(steps, values, ".-", color=color, linewidth=1, label=label)


def _svg(figure: Figure) -> str:
    out = StringIO()
    # Without the salt, each drawing has other ids.
    with mpl.rc_context({"svg.hashsalt": "relora", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
