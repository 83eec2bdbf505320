"""Event files, read back by TensorBoard itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.worker.trackers.conftest import CURVE, FIRST, SECOND
from worker.trackers.tensorboard import TensorboardRun
from worker.trackers.tracker import Tracked

pytestmark = pytest.mark.integration


def curve(folder: Path) -> dict[int, float]:
    loaded = EventAccumulator(str(folder)).Reload()
    events = loaded.Scalars("train/loss")
    assert len({event.step for event in events}) == len(events)
    return {event.step: event.value for event in events}


def test_the_files_of_two_attempts_are_one_curve_without_the_steps_that_were_repeated(
    tracked: Callable[..., Tracked], tmp_path: Path
) -> None:
    for number, news in enumerate((FIRST, SECOND), start=1):
        run = tracked(attempt=number)
        tracker = TensorboardRun(run)
        tracker.draw(news)
        tracker.finish("stopped")
        shutil.copytree(run.reports / "tensorboard", tmp_path / "all", dirs_exist_ok=True)
    assert len(list((tmp_path / "all").iterdir())) == 2
    assert curve(tmp_path / "all") == pytest.approx(CURVE)
