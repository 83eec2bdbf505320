"""Run an experiment of the lab, or go on with it: `python -m benchmarks.lab s`.

It starts a service of its own, submits its runs as sweeps, and stores each result in
benchmarks/results/lab/. Results that are there are not run again. `--page` only writes the page.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab.experiments import EXPERIMENTS, Experiment
from benchmarks.lab.page import page
from benchmarks.lab.picture import picture
from benchmarks.lab.plan import fewest_and_most_runs
from benchmarks.lab.records import Records, other_texts
from benchmarks.lab.runner import Laboratory, RunFailed
from benchmarks.lab.text.build import DESCRIPTION, FOLDER, Text, build
from benchmarks.lab.text.described import described
from benchmarks.lab.text.packages import PackagesError
from benchmarks.lab.text.sources import SOURCES
from benchmarks.machine import ROOT, describe_machine
from benchmarks.report import with_measured
from service.client import Client
from service.local.process import NotStarted, running

PAGE = ROOT / "docs" / "lab.md"
PICTURES = ROOT / "docs" / "pictures"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.lab", description=__doc__)
    parser.add_argument("experiment", choices=list(EXPERIMENTS))
    parser.add_argument("--page", action="store_true", help="write the page from stored results")
    parser.add_argument(
        "--plan", action="store_true", help="only measure the speed and print runs and hours"
    )
    parser.add_argument(
        "--data-dir", type=Path, default=FOLDER, help="packages, text, and the service's data"
    )
    options = parser.parse_args(arguments)
    experiment = EXPERIMENTS[options.experiment]
    if not options.page:
        try:
            run(experiment, options.data_dir, only_plan=options.plan)
        except (PackagesError, NotStarted, RunFailed) as error:
            print(error, file=sys.stderr)
            return 1
    write_page(experiment)
    return 0


def run(experiment: Experiment, folder: Path, *, only_plan: bool) -> None:
    text = _text(folder)
    records = Records(experiment)
    for other in other_texts(records.read(), text.sha256):
        print(f"Stored results have another text: {other}. They are kept and shown beside this.")
    with running(folder / "service") as url, Client(url) as client:
        laboratory = Laboratory(
            experiment, client, text, folder / "text", records, describe_machine()
        )
        print("\n".join(plan(laboratory)), flush=True)
        if not only_plan:
            laboratory.run_all(lambda line: print(line, flush=True))


def plan(laboratory: Laboratory) -> list[str]:
    experiment = laboratory.experiment
    runs = fewest_and_most_runs(experiment, laboratory.records.read())
    started = time.monotonic()
    seconds = laboratory.seconds_per_step()
    prepared = time.monotonic() - started
    speed = experiment.model.tokens_per_step / seconds
    hours = [number * experiment.steps * seconds / 3600 for number in runs]
    return [
        f"Measured in {prepared:.0f} s: {speed:,.0f} tokens/s.",
        f"{runs[0]} to {runs[1]} runs are left: at most {hours[0]:.1f} to {hours[1]:.1f} hours of "
        "training, and some seconds for the start and the evaluations of each run.",
    ]


def _text(folder: Path) -> Text:
    if not (folder / "text" / DESCRIPTION).exists():
        build(SOURCES, packages=folder / "packages", folder=folder / "text")
    text = Text.read(folder / "text")
    print("\n".join(described(text)))
    return text


def write_page(experiment: Experiment) -> None:
    """Write the part of the page that is this experiment's, and its picture."""
    results = Records(experiment).read()
    file = PICTURES / f"lab-{experiment.name}.svg"
    file.write_text(picture(experiment, results))
    part = [f"![Each seed, the losses and the ranks](pictures/{file.name})", ""]
    part += page(experiment, results)
    PAGE.write_text(with_measured(PAGE.read_text(), "\n".join(part), experiment.name))


if __name__ == "__main__":
    sys.exit(main())
