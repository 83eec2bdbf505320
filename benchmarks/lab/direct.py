"""Run an experiment without the service: `python -m benchmarks.lab.direct gpu --text FOLDER`.

It needs the trainer's packages alone, so it runs on a machine with a GPU and no network. Results
are stored as the lab stores them, and `python -m benchmarks.lab --page gpu` shows them.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab.declared import EXPERIMENTS
from benchmarks.lab.experiments import Run
from benchmarks.lab.laboratory import Finished, Laboratory
from benchmarks.lab.records import RESULTS, Records
from benchmarks.lab.text.build import Text
from benchmarks.machine import describe_machine
from relora_core.errors import Diverged
from relora_core.events import Event
from relora_core.training.train import train


@dataclass(frozen=True)
class DirectLaboratory(Laboratory):
    """It trains in this process, one run after the other."""

    cache: Path | None

    def _finish(self, runs: Sequence[Run]) -> Iterator[Finished]:
        for run in runs:
            events: list[Event] = []
            diverged = False
            with tempfile.TemporaryDirectory(prefix="relora-lab-") as workdir:
                spec = self.experiment.spec(run, self.text_folder)
                try:
                    train(spec, Path(workdir), events.append, cache=self.cache)
                except Diverged:
                    diverged = True
            yield Finished(run, events, diverged)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.lab.direct", description=__doc__)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--text", type=Path, required=True, help="what benchmarks.lab.text built")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="gets a file for each run when it is over"
    )
    parser.add_argument("--cache", type=Path, help="prepared data of this and later runs")
    options = parser.parse_args(arguments)
    experiment = EXPERIMENTS[options.experiment]
    DirectLaboratory(
        experiment=experiment,
        text=Text.read(options.text),
        text_folder=options.text,
        records=Records(experiment, options.results),
        machine=describe_machine(),
        cache=options.cache,
    ).run_all(lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
