"""Two gloo processes train like one."""

from pathlib import Path

import pytest

from relora_core.events import Merged, TrainFinished, TrainStarted
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.processes import LONG, Start, events_in, steps_of, wait_for

pytestmark = pytest.mark.integration


def test_two_processes_resume_what_one_began(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(**LONG)
    process = start(spec)
    wait_for(lambda: max(steps_of(tmp_path / "run"), default=0) >= 60)
    process.kill()
    process.wait()
    assert start(spec, processes=2).wait(120) == 0
    events = events_in(tmp_path / "run")
    resumed = [event for event in events if isinstance(event, TrainStarted)][-1]
    assert resumed.step >= 50
    assert resumed.world_size == 2
    assert isinstance(events[-1], TrainFinished)


def test_two_processes_train_like_one_merges_included(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec()
    one, two = start(spec, "one"), start(spec, "two", processes=2)
    assert (one.wait(120), two.wait(120)) == (0, 0)
    assert steps_of(tmp_path / "two") == pytest.approx(steps_of(tmp_path / "one"), rel=1e-5)
    merges = [
        [event.update_norm for event in events_in(tmp_path / name) if isinstance(event, Merged)]
        for name in ("one", "two")
    ]
    assert merges[0] == pytest.approx(merges[1], rel=1e-4)
    assert len(merges[0]) == 1
