"""Run experiments of the lab, or go on with them: `python -m benchmarks.lab s options`.

It starts a service of its own, submits its runs as sweeps, and stores each result in
benchmarks/results/lab/. Results that are there are not run again. `--page` only writes the page.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.lab.declared import BUDGET_HOURS, EXPERIMENTS, GPU, QUICK
from benchmarks.lab.experiments import TEXTS, Experiment
from benchmarks.lab.laboratory import RunFailed
from benchmarks.lab.on_service import ServiceLaboratory
from benchmarks.lab.page import page
from benchmarks.lab.picture import picture, quality_picture
from benchmarks.lab.plan import left
from benchmarks.lab.quality import gaps, quality
from benchmarks.lab.records import Records, Results, others_in_words
from benchmarks.lab.text.build import DESCRIPTION, FOLDER, Text, build
from benchmarks.lab.text.described import described
from benchmarks.lab.text.packages import PackagesError
from benchmarks.machine import ROOT, describe_machine
from benchmarks.report import with_measured
from relora_core.estimate.text_table import text_table
from service.client import Client
from service.local.process import NotStarted, running

PAGE = ROOT / "docs" / "lab.md"
QUALITY = ROOT / "docs" / "quality.md"
PICTURES = ROOT / "docs" / "pictures"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.lab", description=__doc__)
    parser.add_argument(
        "experiments",
        nargs="*",
        metavar="EXPERIMENT",
        help=f"{', '.join(EXPERIMENTS)}; default: all but {GPU} and {QUICK}",
    )
    parser.add_argument("--page", action="store_true", help="write the page from stored results")
    parser.add_argument(
        "--plan", action="store_true", help="only measure the speed and print runs and hours"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="how many runs train at the same time"
    )
    parser.add_argument(
        "--data-dir", type=Path, default=FOLDER, help="packages, texts, and the service's data"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.experiments) - set(EXPERIMENTS):
        parser.error(f"no such experiment: {', '.join(sorted(unknown))}")
    names = options.experiments or [name for name in EXPERIMENTS if name not in {GPU, QUICK}]
    experiments = [EXPERIMENTS[name] for name in names]
    if len({experiment.text for experiment in experiments}) > 1:
        parser.error("these experiments have different texts; run them one after the other")
    _end_on_signals()
    try:
        if not options.page:
            run(experiments, options.data_dir, workers=options.workers, only_plan=options.plan)
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
        return 130
    except (PackagesError, NotStarted, RunFailed) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for experiment in experiments:
            write_page(experiment)
        write_quality()
    return 0


def _end_on_signals() -> None:
    """Make SIGTERM end the lab as Ctrl-C does: its service must end with it.

    Shells start background jobs with SIGINT ignored. The lab takes it there, too.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def run(experiments: Sequence[Experiment], folder: Path, *, workers: int, only_plan: bool) -> None:
    place = folder / experiments[0].text
    text = _text(experiments[0], packages=folder / "packages", folder=place / "text")
    with running(place / "service", workers=workers) as url, Client(url) as client:
        laboratories = [
            ServiceLaboratory(each, text, place / "text", Records(each), describe_machine(), client)
            for each in experiments
        ]
        print("\n".join(plan(laboratories, workers=workers)), flush=True)
        for laboratory in [] if only_plan else laboratories:
            laboratory.run_all(lambda line: print(line, flush=True))
            write_page(laboratory.experiment)


def plan(laboratories: Sequence[ServiceLaboratory], *, workers: int) -> list[str]:
    """Measure the speed of each model. Return the runs and the hours that are left, in words."""
    seconds: dict[str, float] = {}
    rows, hours = [], (0.0, 0.0)
    for each in laboratories:
        experiment, model = each.experiment, each.experiment.model.name
        if model not in seconds:
            seconds[model] = each.seconds_per_step()
        remaining = left(experiment, each.records.read(each.text.sha256))
        steps = remaining.steps(experiment)
        low, high = (step * seconds[model] / workers / 3600 for step in steps)
        hours = hours[0] + low, hours[1] + high
        rows.append([experiment.name, _range(remaining.runs, ".0f"), _range((low, high), ".1f")])
    rows.append(["all", "", _range(hours, ".1f")])
    speeds = [
        f"model {model}: {each.experiment.model.tokens_per_step / seconds[model]:,.0f} tokens/s"
        for model, each in {each.experiment.model.name: each for each in laboratories}.items()
    ]
    table = text_table(["experiment", "runs left", "hours"], rows)
    return [
        f"Measured now, one run alone: {', '.join(speeds)}. {workers} runs train at the same time.",
        table,
        f"The hours are those of training; the budget is {BUDGET_HOURS} hours of two cores.",
    ]


def _range(ends: tuple[float, float], form: str) -> str:
    low, high = (format(end, form) for end in ends)
    return low if low == high else f"{low} to {high}"


def _text(experiment: Experiment, *, packages: Path, folder: Path) -> Text:
    if not (folder / DESCRIPTION).exists():
        build(TEXTS[experiment.text], packages=packages, folder=folder)
    text = Text.read(folder)
    print("\n".join(described(text)))
    for line in others_in_words(Records(experiment).by_text(), text.sha256):
        print(line)
    return text


def write_page(experiment: Experiment) -> None:
    """Write the part of the page that is this experiment's, and its picture."""
    part, drawn = page_part(experiment)
    (PICTURES / picture_name(experiment)).write_text(drawn)
    PAGE.write_text(with_measured(PAGE.read_text(), part, experiment.name))


def write_quality() -> None:
    """Write what all experiments together say, and its picture."""
    part, drawn = quality_part()
    (PICTURES / "quality.svg").write_text(drawn)
    QUALITY.write_text(with_measured(QUALITY.read_text(), part, "quality"))


def quality_part() -> tuple[str, str]:
    """Return the part of the page on quality, and its picture."""
    results = {name: _shown(Records(each).by_text())[1] for name, each in EXPERIMENTS.items()}
    drawn = quality_picture(gaps(results), EXPERIMENTS["restarts"], results["restarts"])
    return "\n".join(quality(results)), drawn


def _shown(by_text: Mapping[str, Results]) -> tuple[str, Results]:
    """Return the text with the most results, and these."""
    return next(iter(by_text.items()), ("", {}))


def page_part(experiment: Experiment) -> tuple[str, str]:
    """Return the part of the page, and the picture, of the text with the most results."""
    by_text = Records(experiment).by_text()
    shown, results = _shown(by_text)
    lines = [f"## Experiment {experiment.name}: {experiment.title}", ""]
    lines += [*page(experiment, results), *others_in_words(by_text, shown)]
    if results:
        lines += [
            "",
            f"![Each seed, the losses and the ranks](pictures/{picture_name(experiment)})",
        ]
    return "\n".join(lines), picture(experiment, results)


def picture_name(experiment: Experiment) -> str:
    return f"lab-{experiment.name}.svg"


if __name__ == "__main__":
    sys.exit(main())
