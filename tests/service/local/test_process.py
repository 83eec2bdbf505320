import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.local.process import NotStarted, running

PATIENCE = 180.0  # seconds, on a busy machine
PROGRAM = """
import sys, time
from pathlib import Path
from service.local.process import running
with running(Path(sys.argv[1]), workers=0):
    time.sleep(1000)
"""


def answers(url: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


@pytest.mark.integration
def test_a_service_that_ends_at_once_is_reported_with_the_place_of_its_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way to a service that runs is held by the demo, in `tests/e2e`."""
    monkeypatch.setattr(sys, "executable", "false")
    with (
        pytest.raises(NotStarted, match=r"did not start; its logs are in .*/data/logs"),
        running(tmp_path / "data"),
    ):
        pytest.fail("no service runs here")


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of it")
def test_a_service_ends_with_a_program_that_was_killed(tmp_path: Path) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    address, give_up_at = tmp_path / "url", time.monotonic() + PATIENCE
    try:
        while not address.exists() and time.monotonic() < give_up_at:
            time.sleep(0.1)
        url = address.read_text().strip()
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    while answers(url):
        assert time.monotonic() < give_up_at, "the service goes on"
        time.sleep(0.1)
