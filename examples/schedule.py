"""Draw the learning rate of a run, for docs/method.md.

    python examples/schedule.py [PICTURE]

It needs only a spec and trains nothing.
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "schedule.png"
OTHERS = {"cosine": ":", "linear": "--", "wsd": "-."}


def main(picture: Path) -> None:
    timeline = Timeline.of(spec_with("jagged_cosine"))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes, close_up = figure.subplots(1, 2, width_ratios=[3, 1])
    draw_run(axes, timeline)
    draw_restart(close_up, timeline, restart=10_000)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    print(picture)


def spec_with(schedule: str) -> TrainSpec:
    """Return a spec with the paper's 20,000 steps: a quarter full rank, then three cycles."""
    return TrainSpec.model_validate(
        {
            "model": {"preset": "llama_130m"},
            "data": {"train": {"uri": "text.jsonl"}},
            "training": {"steps": 20_000},
            "schedule": {"name": schedule, "restart_warmup_steps": 300},
        }
    )


def draw_run(axes: Axes, timeline: Timeline) -> None:
    steps = range(timeline.total_steps)
    axes.plot(steps, rates(timeline, steps), color="tab:blue", label="jagged_cosine", zorder=3)
    for name, style in OTHERS.items():
        other = rates(Timeline.of(spec_with(name)), steps)
        axes.plot(steps, other, color="tab:gray", linestyle=style, linewidth=1, label=name)
    mark_phases(axes, timeline)
    axes.set(xlabel="optimizer step", ylabel="learning rate", xlim=(0, timeline.total_steps))
    axes.set_ylim(0, timeline.low_rank_learning_rate * 1.2)
    axes.ticklabel_format(axis="y", scilimits=(-3, -3))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(fontsize="small", frameon=False, loc="lower left", bbox_to_anchor=(0.02, 0.06))


def mark_phases(axes: Axes, timeline: Timeline) -> None:
    switch, top = timeline.phases.first_steps, timeline.low_rank_learning_rate * 1.17
    axes.axvspan(0, switch, color="tab:orange", alpha=0.08, linewidth=0)
    axes.text(switch / 2, top, "warm start\nfull rank", ha="center", va="top")
    axes.text(1.5 * switch, top, "low rank\nA and B trained", ha="center", va="top")
    axes.axvline(switch, color="tab:orange", linewidth=1)
    axes.text(switch, 0, " switch", ha="left", va="bottom", fontsize="small")
    for step in filter(timeline.is_restart, range(timeline.total_steps)):
        axes.axvline(step, color="tab:red", linewidth=1, linestyle="--")
        axes.text(step, 0, " restart", ha="left", va="bottom", fontsize="small")


def draw_restart(axes: Axes, timeline: Timeline, *, restart: int) -> None:
    """Draw the steps around a restart. The first rate after it is small, but never zero."""
    climb = timeline.restart_warmup_steps
    steps = range(restart - climb // 2, restart + 2 * climb)
    axes.plot(steps, rates(timeline, steps), color="tab:blue")
    axes.axvline(restart, color="tab:red", linewidth=1, linestyle="--")
    axes.axvline(restart + climb, color="tab:gray", linewidth=1, linestyle=":")
    axes.text(restart + climb * 1.1, 0, f"{climb} steps\nto climb\n", ha="left", va="bottom")
    axes.set_xticks([restart, restart + climb])
    axes.set(xlabel="optimizer step", ylabel="learning rate", title=f"the restart at {restart:,}")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", scilimits=(-3, -3))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def rates(timeline: Timeline, steps: range) -> list[float]:
    return [timeline.learning_rate_at(step) for step in steps]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
