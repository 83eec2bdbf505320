from pathlib import Path

from relora_core.data.progress import ProgressReport
from relora_core.data.sources import Tally
from relora_core.events import AnyTrainEvent, DataProgress

READ = Tally(bytes_read=50)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def report(
    folder: Path, clock: Clock, told: list[AnyTrainEvent], *, bytes_total: int | None = 100
) -> ProgressReport:
    begun = DataProgress(split="train", making="tokens", bytes_total=bytes_total)
    return ProgressReport(folder, begun, told.append, clock=clock)


def test_reports_come_five_seconds_apart(tmp_path: Path) -> None:
    clock, told = Clock(), list[AnyTrainEvent]()
    building = report(tmp_path / "shards", clock, told)
    for second in range(12):
        clock.now = second
        building.tell(READ, documents=second, tokens=10 * second)
    assert [str(event) for event in told] == [
        "train data, tokenizing: 5 documents, 50 tokens, 50% of 0.0 MB",
        "train data, tokenizing: 10 documents, 100 tokens, 50% of 0.0 MB",
    ]


def test_who_waits_tells_what_the_process_at_work_told_last(tmp_path: Path) -> None:
    clock, told, told_elsewhere = Clock(), list[AnyTrainEvent](), list[AnyTrainEvent]()
    building = report(tmp_path / "shards", clock, told_elsewhere)
    waiting = report(tmp_path / "shards", clock, told)
    clock.now = 5
    waiting.tell_of_another()
    assert told == []
    building.tell(READ, documents=3)
    clock.now = 10
    waiting.tell_of_another()
    assert [str(event) for event in told] == [str(event) for event in told_elsewhere]


def test_bytes_are_unknown_where_their_total_is(tmp_path: Path) -> None:
    clock, told = Clock(), list[AnyTrainEvent]()
    streaming = report(tmp_path / "shards", clock, told, bytes_total=None)
    clock.now = 5
    streaming.tell(READ, documents=3, tokens=7)
    [event] = told
    assert isinstance(event, DataProgress)
    assert event.bytes_read is None
    assert str(event) == "train data, tokenizing: 3 documents, 7 tokens"
