from pathlib import Path

import pytest

from jobs.secrets.masking import mask
from relora_core.events import TrainStopped, Warned, to_line
from worker.supervision.tail import LONGEST_LINE, MAX_LINES, Tail


def line(step: int) -> str:
    return to_line(TrainStopped(step=step)) + "\n"


def steps(tail: Tail) -> list[tuple[int, int]]:
    return [(number, event.step) for number, event in tail.read() if event.type == "train.stopped"]


def test_each_line_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = Tail(file, str)
    assert steps(tail) == []

    file.write_text(line(10) + line(20))
    assert steps(tail) == [(1, 10), (2, 20)]
    assert steps(tail) == []

    with file.open("a") as events:
        events.write(line(30))
    assert steps(tail) == [(3, 30)]


def test_a_torn_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = Tail(file, str)
    whole = line(20)

    file.write_text(line(10) + whole[:15])
    assert steps(tail) == [(1, 10)]

    file.write_text(line(10) + whole)
    assert steps(tail) == [(2, 20)]


def test_a_line_that_is_no_event_is_left_out_but_counted(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(line(10) + '{"type": "train.unheard_of"}\n' + "\n" + line(20))

    assert steps(Tail(file, str)) == [(1, 10), (4, 20)]


def test_many_lines_come_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(line(step) for step in range(MAX_LINES + 1)))
    tail = Tail(file, str)

    assert len(tail.read()) == MAX_LINES
    assert steps(tail) == [(MAX_LINES + 1, MAX_LINES)]


def test_a_secret_that_the_trainer_told_is_hidden(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(to_line(Warned(code="http", message="bad token hf_0123")) + "\n")
    ((_, event),) = Tail(file, mask(["hf_0123"])).read()
    assert str(event) == "warning: bad token ***"


@pytest.mark.parametrize(
    "damaged",
    [b"\0" * 4096, b'{"type": "train.sto', b"\xff\xfe", b"[" * 100_000, b"x" * (3 * LONGEST_LINE)],
    ids=["NULs of a power cut", "half a line", "no UTF-8", "deep nesting", "a very long line"],
)
def test_a_damaged_line_is_counted_and_ends_nothing(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "events.jsonl"
    tail = Tail(file, str)
    file.write_bytes(line(10).encode() + damaged + b"\n" + line(20).encode())
    assert [*steps(tail), *steps(tail)] == [(1, 10), (3, 20)]
    assert tail.unreadable == 1


def test_a_very_long_line_that_is_still_being_written_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = Tail(file, str)
    with file.open("wb", buffering=0) as events:
        for _ in range(3):
            events.write(b"x" * LONGEST_LINE)
            assert tail.read() == []
        events.write(b"\n" + line(20).encode())
    assert steps(tail) == [(2, 20)]
