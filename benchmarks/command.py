"""What the commands of the benchmarks share: their options, and how they tell their progress."""

import sys
from argparse import ArgumentParser


def option_parser(module: str, description: str | None) -> ArgumentParser:
    """Return a parser with the options of a benchmark that has figures and a table in the docs."""
    parser = ArgumentParser(f"python -m {module}", description=description)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON: figures")
    parser.add_argument(
        "--save", action="store_true", help="write benchmarks/results/ and docs/performance.md"
    )
    return parser


def tell_progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
