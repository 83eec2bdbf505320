from pathlib import Path

import pytest

from relora_core.events import AnyTrainEvent, TrainStopped, Warned, from_line
from relora_core.workdir.event_log import EventLog
from tests.relora_core.conftest import Recorder


def test_every_event_is_a_line_and_reads_back(tmp_path: Path, recorder: Recorder) -> None:
    events: list[AnyTrainEvent] = [Warned(code="a", message="one\ntwo"), TrainStopped(step=3)]
    with EventLog(tmp_path / "run" / "events.jsonl", also=recorder) as log:
        for event in events:
            log(event)
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert [from_line(line) for line in lines] == events == recorder.events


def test_an_event_that_a_full_disk_refuses_is_told_all_the_same(recorder: Recorder) -> None:
    event = TrainStopped(step=3)
    with (
        pytest.raises(OSError, match="No space left"),
        EventLog(Path("/dev/full"), also=recorder) as log,
    ):
        log(event)
    assert recorder.events == [event]


def test_a_torn_line_of_a_killed_run_spoils_no_later_one(
    tmp_path: Path, recorder: Recorder
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"type":"train.sto')
    with EventLog(file, also=recorder) as log:
        log(TrainStopped(step=3))
    torn, whole = file.read_text().splitlines()
    assert torn == '{"type":"train.sto'
    assert from_line(whole) == recorder.events[0]
