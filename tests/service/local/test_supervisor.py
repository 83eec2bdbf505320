"""Child processes: kept alive, and stopped in order."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.local import supervisor
from service.local.supervisor import Child, Supervisor
from tests.fixtures.process_state import has_ended

# Tells its log that it runs, and again when it is asked to end.
OBEDIENT = """
import os, signal, sys, time
def end(*_):
    print(sys.argv[1], "ends", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print(sys.argv[1], "runs in", os.getpid(), flush=True)
time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("runs", flush=True)
time.sleep(60)
"""

pytestmark = pytest.mark.integration


def wait_until(
    fulfilled: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None
) -> None:
    give_up_at = time.monotonic() + 20
    while not fulfilled():
        assert time.monotonic() < give_up_at, "waited in vain"
        meanwhile()
        time.sleep(0.02)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = make("a", OBEDIENT, tmp_path)
    yield made
    made.kill()


def make(name: str, program: str, tmp_path: Path, grace_seconds: float = 10) -> Child:
    command = [sys.executable, "-c", program, name]
    log = tmp_path / "log"
    return Child(name, command, log=log, environment={}, grace_seconds=grace_seconds)


def test_a_child_that_dies_is_started_again(child: Child) -> None:
    child.start()
    wait_until(lambda: child.log.read_text().count("runs") == 1)
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    child.restart_if_dead()
    assert not child.running
    wait_until(lambda: child.log.read_text().count("runs") == 2, meanwhile=child.restart_if_dead)


def test_a_child_that_dies_again_and_again_is_started_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(supervisor, "BACKOFF", replace(supervisor.BACKOFF, chance=lambda: 1.0))
    child = make("a", "raise SystemExit(3)", tmp_path)
    child.start()
    delays = []
    for _ in range(7):
        assert child.process is not None
        child.process.wait()
        died_at = now
        child.restart_if_dead()
        while child.process is None:
            now += 0.25
            child.restart_if_dead()
        delays.append(now - died_at)
    child.kill()
    assert delays == [0.5, 1, 2, 4, 8, 16, 30]


def test_the_last_that_started_is_the_first_to_stop(tmp_path: Path) -> None:
    supervisor = Supervisor()
    for name in "abc":
        supervisor.start(make(name, OBEDIENT, tmp_path))
    log = tmp_path / "log"
    wait_until(lambda: log.read_text().count("runs") == 3)
    supervisor.stop()
    ends = [line for line in log.read_text().splitlines() if "ends" in line]
    assert ends == ["c ends", "b ends", "a ends"]


def test_a_child_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    child = make("a", STUBBORN, tmp_path, grace_seconds=0.2)
    child.start()
    wait_until(lambda: child.log.read_text() != "")
    child.stop()
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of it")
def test_the_children_of_a_parent_that_is_killed_end_too(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from service.local import supervisor
from service.local.supervisor import Child
Child("a", [sys.executable, "-c", {OBEDIENT!r}, "a"], log=Path({str(tmp_path / "log")!r}),
      environment={{}}).start()
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and "runs" in log.read_text())
    pid = int(log.read_text().split()[-1])
    parent.kill()
    parent.wait()
    wait_until(lambda: "a ends" in log.read_text())
    wait_until(lambda: has_ended(pid))
