"""A run shows from outside whether it moves."""

import time
from pathlib import Path
from threading import Event

from relora_core.workdir.heartbeat import HeartbeatFile

LONG = 0.3  # seconds: many looks of the thread


def touched(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def test_a_thread_that_moves_has_a_heartbeat(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    times: set[int] = set()
    with HeartbeatFile(file, every_seconds=0.01):
        until = time.monotonic() + 5
        while len(times) < 3 and time.monotonic() < until:
            times.add(touched(file))
            sum(range(1000))
    assert len(times) == 3


def test_a_thread_that_waits_for_ever_has_none_unless_it_beats(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    times = []
    with HeartbeatFile(file, every_seconds=0.01) as heartbeat:
        for beats in (0, 0, 0, 1):  # each waits at the same place
            for _ in range(beats):
                heartbeat.beat()
            Event().wait(LONG)
            times.append(touched(file))
    assert 0 < times[0] == times[1] == times[2] < times[3]
