"""The parent of the ranks: it exits as they do, and starts torchrun only for several of them."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.worker.processes import wait_until
from worker.attempt import clock
from worker.launchers.process import TiedProcess

pytestmark = pytest.mark.integration

ENDS = [("os.kill(os.getpid(), 9)", -9), ("sys.exit(3)", 3)]

# One rank ends. The other one waits for it and then fails.
TWO_RANKS = """
import os, pathlib, sys, time
other = pathlib.Path(__file__).with_name("over")
if os.environ["RANK"] == "1":
    other.touch()
    {end}
while not other.exists():
    time.sleep(0.01)
sys.exit(3)
"""
LEAVES_WHEN_ASKED = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready")
time.sleep(600)
"""


def start(folder: Path, num_processes: int, code: str) -> TiedProcess:
    program = folder / "rank.py"
    program.write_text(code)
    ranks = TiedProcess(
        [sys.executable, "-m", "worker.launchers.ranks", str(num_processes), str(program)],
        environ=os.environ,
        cwd=folder / "empty",
        log=folder / "log",
    )
    ranks.live_until(clock.now() + 600)
    return ranks


def exit_code(ranks: TiedProcess) -> int | None:
    wait_until(lambda: ranks.exit_code() is not None)
    ranks.kill()
    return ranks.exit_code()


@pytest.mark.slow
@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_it_ends_by_the_signal_of_a_rank_before_the_exit_code_of_another(
    tmp_path: Path, end: str, expected: int
) -> None:
    assert exit_code(start(tmp_path, 2, TWO_RANKS.format(end=end))) == expected
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("end", "expected"), ENDS)
def test_it_ends_as_its_only_rank_does(tmp_path: Path, end: str, expected: int) -> None:
    assert exit_code(start(tmp_path, 1, f"import os, sys\n{end}")) == expected
    assert (tmp_path / "log").read_text() == ""


def test_beside_its_only_rank_it_loads_no_torch_and_passes_signals_on(tmp_path: Path) -> None:
    ranks = start(tmp_path, 1, LEAVES_WHEN_ASKED)
    wait_until(lambda: "ready" in (tmp_path / "log").read_text())
    assert "torch" not in Path(f"/proc/{ranks.pid}/maps").read_text()
    os.kill(ranks.pid, signal.SIGTERM)
    assert exit_code(ranks) == 7
