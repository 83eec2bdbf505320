"""Run the parts: each in a process with a time limit, its results written as they come."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmarks.first_gpu.parts import Part, Stage

Status = Literal["running", "passed", "failed", "timed_out", "not_run"]
ROOT = Path(__file__).parents[2]
LOG_CHARACTERS = 4000  # of the end of a part's log, where it failed
_POLL_SECONDS = 0.5
_LEAST_SECONDS = 10.0  # a part is not begun with less


@dataclass
class Outcome:
    """What became of a part."""

    part: str
    status: Status
    reason: str | None = None  # of a part that did not pass
    seconds: float = 0.0
    limit_seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    log: str = ""


@dataclass
class Driver:
    """Runs stages of parts on a device and keeps the outcomes in one file.

    `deadline` is a time of `time.monotonic`: what has not ended by then is ended.
    """

    device: str
    scratch: Path
    file: Path
    origin: Mapping[str, object]
    deadline: float
    tell: Callable[[str], None]
    slower: float = 1.0  # factor of the parts' limits
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, stages: Sequence[Stage]) -> list[Outcome]:
        for stage in stages:
            with ExitStack() as started:
                running = [process for part in stage if (process := self._begin(part))]
                for process in running:
                    started.callback(process.kill)
                while running:
                    running = [each for each in running if not self._is_over(each)]
                    self._write()
                    time.sleep(_POLL_SECONDS if running else 0)
        self._write()
        return list(self.outcomes.values())

    def _begin(self, part: Part) -> "_Process | None":
        left = self.deadline - time.monotonic()
        missing = [need for need in part.needs if not self._has(need)]
        wanted = self.slower * part.limit_seconds
        if missing or left < min(_LEAST_SECONDS, wanted):
            reason = f"needs {_listed(missing)}" if missing else "no time was left"
            self._end(Outcome(part.name, "not_run", reason))
            return None
        limit = min(wanted, left)
        self.outcomes[part.name] = Outcome(part.name, "running", limit_seconds=round(limit, 1))
        return _Process(part, self.scratch, self.device, limit)

    def _has(self, need: str) -> bool:
        return self.device == "cuda" if need == "gpu" else find_spec(need) is not None

    def _is_over(self, process: "_Process") -> bool:
        """Take over what the part has written. Return whether it is over; end it at its limit."""
        code, late = process.code(), process.seconds > process.limit
        if code is not None or late:
            process.kill()
        outcome = self.outcomes[process.part.name]
        outcome.results, outcome.seconds = process.results(), round(process.seconds, 1)
        if code is None and not late:
            return False
        outcome.status = "passed" if code == 0 else "failed" if code is not None else "timed_out"
        if outcome.status != "passed":
            outcome.log = process.log()[-LOG_CHARACTERS:]
            outcome.reason = _reason(code, process)
        self._end(outcome)
        return True

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.part] = outcome
        why = f": {outcome.reason}" if outcome.reason else ""
        known = json.dumps(outcome.results, default=str) if outcome.results else ""
        self.tell(
            f"== {outcome.part}: {outcome.status.replace('_', ' ')}"
            f" after {outcome.seconds:.0f} s{why} {known[:1200]}"
        )

    def _write(self) -> None:
        parts = [
            {**asdict(outcome), "measured_on": self.origin} for outcome in self.outcomes.values()
        ]
        new = self.file.with_suffix(".new")
        new.write_text(
            json.dumps({"measured_on": self.origin, "parts": parts}, indent=1, default=str)
        )
        new.replace(self.file)


class Started(Protocol):
    """A process that leads a session, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


def start(arguments: Sequence[str], log: Path) -> Started:
    """Start `benchmarks.first_gpu.part` with these arguments, in an interpreter of its own."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.first_gpu.part", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class _Process:
    """The process of a part, with all processes that it starts."""

    def __init__(self, part: Part, scratch: Path, device: str, limit: float) -> None:
        self.part, self.limit = part, limit
        self._started = time.monotonic()
        self._results = scratch / f"{part.name}.json"
        self._log = scratch / f"{part.name}.log"
        arguments = [part.function, str(self._results), str(scratch), device, *part.arguments]
        self._process = start(arguments, self._log)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def code(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        """End the process, if it has not ended, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def results(self) -> dict[str, Any]:
        if not self._results.exists():
            return {}
        results: dict[str, Any] = json.loads(self._results.read_text())
        return results

    def log(self) -> str:
        return self._log.read_text(errors="replace")


def _reason(code: int | None, process: _Process) -> str:
    if code is None:
        return f"took longer than {process.limit:.0f} s"
    lines = [line for line in process.log().splitlines() if line.strip()]
    return lines[-1][:500] if code > 0 and lines else f"ended with exit code {code}"


def _listed(needs: list[str]) -> str:
    return " and ".join("a GPU" if need == "gpu" else need for need in needs)
