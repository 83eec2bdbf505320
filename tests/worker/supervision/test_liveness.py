"""The signs of life of a trainer."""

import time
from pathlib import Path

import pytest

from relora_core.workdir.files import HEARTBEAT
from worker.attempt.workdir import Workdir
from worker.supervision.liveness import Liveness


@pytest.mark.parametrize("name", ["events.jsonl", "logs/attempt-1.log", HEARTBEAT])
def test_a_file_that_changes_is_a_sign(tmp_path: Path, name: str) -> None:
    workdir = Workdir.of(tmp_path, "job_1", 1)
    workdir.create()
    liveness = Liveness(workdir)
    time.sleep(0.1)
    assert liveness.silent_seconds() >= 0.1
    (workdir.root / name).write_text("alive")
    assert liveness.silent_seconds() < 0.1
    time.sleep(0.1)
    assert liveness.silent_seconds() >= 0.1
