"""The `gpu` tests of the trainer, with their outcomes as they come."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec

from benchmarks.first_gpu.part import PartFailed, Results, Setting

_OUTCOME = "(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)"
_ALONE = re.compile(rf"^(?P<test>\S+::.+?) (?P<outcome>{_OUTCOME})\b")  # a.py::test PASSED [ 3%]
_SPREAD = re.compile(rf"^\[gw\d+\].*? (?P<outcome>{_OUTCOME}) (?P<test>\S+::.+)$")  # by xdist
_PROCESSES = 4  # most of the time is the compiler's, which computes on the CPU
_TEST_SECONDS = 120


def run(setting: Setting) -> Results:
    """Run them. Warnings fail no test here, but are listed: those of a new card are unknown."""
    command = [
        *(sys.executable, "-m", "pytest", "-m", "gpu", "tests/relora_core"),
        *("-v", "-p", "no:cacheprovider", "-W", "default", f"--timeout={_TEST_SECONDS}"),
        *(("-n", str(_PROCESSES)) if find_spec("xdist") else ()),
        f"--basetemp={setting.scratch / 'pytest'}",
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert process.stdout is not None
    counts: Counter[str] = Counter()
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if told := outcome(line):
            counts[told[0].lower()] += 1
            yield "outcomes", dict(counts)
            if told[0] in ("FAILED", "ERROR"):
                yield f"{told[0].lower()}: {told[1]}", True
    code = process.wait()
    yield "end", _after(lines, "= FAILURES =", "= ERRORS =", "= warnings summary =")[-6000:]
    if code:
        raise PartFailed(lines[-1] if lines else f"pytest ended with exit code {code}")


def outcome(line: str) -> tuple[str, str] | None:
    """Return the outcome and the test that a line of `pytest -v` tells, or None."""
    found = _ALONE.match(line) or _SPREAD.match(line.rstrip())
    return (found["outcome"], found["test"]) if found else None


def _after(lines: Iterable[str], *titles: str) -> str:
    """Return the lines from the first of the titles on."""
    kept: list[str] = []
    for line in lines:
        if kept or any(title in line for title in titles):
            kept.append(line)
    return "\n".join(kept)
