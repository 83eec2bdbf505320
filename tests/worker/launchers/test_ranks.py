"""torchrun in our own program, which exits as the ranks do."""

import os
import sys
from pathlib import Path

import pytest

from tests.worker.processes import wait_until
from worker.attempt import clock
from worker.launchers.process import TiedProcess

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# One rank ends. The other one waits for it and then fails.
RANKS = """
import os, pathlib, sys, time
other = pathlib.Path(__file__).with_name("over")
if os.environ["RANK"] == "1":
    other.touch()
    {end}
while not other.exists():
    time.sleep(0.01)
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("end", "exit_code"), [("os.kill(os.getpid(), 9)", -9), ("sys.exit(3)", 3)]
)
def test_it_ends_by_the_signal_of_a_rank_before_the_exit_code_of_another(
    tmp_path: Path, end: str, exit_code: int
) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(RANKS.format(end=end))
    command = [sys.executable, "-m", "worker.launchers.ranks", "--standalone"]
    ranks = TiedProcess(
        [*command, "--nproc-per-node", "2", str(program)],
        environ=os.environ,
        cwd=tmp_path / "empty",
        log=tmp_path / "log",
    )
    ranks.live_until(clock.now() + 60)
    wait_until(lambda: ranks.exit_code() is not None)
    ranks.kill()
    assert ranks.exit_code() == exit_code
    assert "Traceback" not in (tmp_path / "log").read_text()
