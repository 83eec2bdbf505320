"""Benchmark of the training speed of this project and of the alternatives.

Run `python -m benchmarks.training --quick --json`. METHOD.md describes the method.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.command import tell_progress
from benchmarks.figures import medians
from benchmarks.plans import cpu_plan, gpu_plan, measure
from benchmarks.results import FOLDER, Results


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if problem := _problem(options.device):
        print(problem, file=sys.stderr)
        return 2
    plan = (gpu_plan if options.device == "cuda" else cpu_plan)(
        quick=options.quick, rounds=options.rounds
    )
    if options.contest:
        try:
            plan = plan.only(options.contest)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    file = FOLDER / f"{options.device}.json"
    before = Results.read(file) if options.contest and file.exists() else None

    def save(results: Results) -> None:
        if options.save:
            FOLDER.mkdir(exist_ok=True)
            results.beside(before).write(file)
            report.write_page()

    with tempfile.TemporaryDirectory(prefix="relora-bench-") as cache:
        results = measure(plan, cache=Path(cache), progress=tell_progress, save=save)
    print(report.as_text(results, options.device))
    if options.json:
        print(json.dumps(medians(results, options.device)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 8 minutes on two cores")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON: medians")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=_rounds, help="turns of each contender")
    parser.add_argument("--contest", help="one comparison alone, such as llama_1b or speed")
    parser.add_argument(
        "--save",
        action="store_true",
        help="write benchmarks/results/ and docs/performance.md, after each comparison",
    )
    return parser


def _rounds(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _problem(device: str) -> str | None:
    if device == "cuda" and not torch.cuda.is_available():
        return "no CUDA device is found: take --device cpu, or a torch that is built for CUDA"
    if device == "cpu" and find_spec("peft") is None:
        return 'peft is not installed: pip install --constraint constraints.txt ".[bench]"'
    return None


if __name__ == "__main__":
    sys.exit(main())
