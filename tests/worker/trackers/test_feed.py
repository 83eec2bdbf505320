"""A tracker that does not always work."""

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from jobs.backoff import Backoff
from relora_core.events import TrainFailed, TrainFinished, TrainStopped, to_line
from tests.fixtures.reports import step_finished
from tests.worker.trackers.conftest import points
from worker.supervision.tail import Tail
from worker.trackers.__main__ import follow
from worker.trackers.feed import MAX_FAILURES, Feed
from worker.trackers.points import ResumedAt, TrackedPoint
from worker.trackers.tracker import Outcome


class Recording:
    """A tracker that fails a given number of times, and records the rest."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.steps: list[int] = []
        self.outcome: Outcome | None = None

    def draw(self, news: Sequence[TrackedPoint | ResumedAt]) -> None:
        if self.refuse:
            self.refuse -= 1
            raise ConnectionError("nobody there")
        self.steps += [new.step for new in news]

    def finish(self, outcome: Outcome) -> None:
        self.outcome = outcome


def feed_of(tracker: Recording) -> Feed:
    return Feed("recording", lambda: tracker, backoff=Backoff(first=0, longest=0))


def test_what_it_cannot_take_now_it_is_given_later() -> None:
    tracker = Recording(refuse=2)
    feed = feed_of(tracker)
    for point in points(1, 2):
        feed.take([point])
        feed.flush()
    assert tracker.steps == []
    feed.take(points(3))
    feed.finish("finished")
    assert (tracker.steps, tracker.outcome, feed.lost) == ([1, 2, 3], "finished", False)


def test_between_two_tries_it_pauses() -> None:
    tracker = Recording(refuse=1)
    feed = Feed("recording", lambda: tracker, backoff=Backoff(first=60, longest=60))
    feed.take(points(1))
    feed.flush()
    feed.flush()
    assert (tracker.steps, tracker.refuse) == ([], 0)


def test_one_that_never_works_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    feed = feed_of(Recording(refuse=100))
    for point in points(*range(1, MAX_FAILURES + 3)):
        feed.take([point])
        feed.flush()
    feed.finish("finished")
    assert feed.lost
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == MAX_FAILURES + 1
    assert errors[0] == "recording: ConnectionError"  # without the server's message
    assert errors[-1] == "recording gets nothing more of this attempt"


def test_one_that_cannot_be_opened_does_not_hold_up_another() -> None:
    def refuse() -> Recording:
        raise ImportError("no module")

    works = Recording()
    broken, other = Feed("broken", refuse, backoff=Backoff(first=0, longest=0)), feed_of(works)
    for feed in (broken, other):
        feed.take(points(1))
        feed.finish("finished")
    assert (broken.lost, works.steps) == (True, [1])


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (TrainStopped(step=2), "stopped"),
        (TrainFailed(code="x", message="x", retryable=False), "failed"),
        (
            TrainFinished(step=2, tokens_seen=1, restarts=0, skipped_steps=0, seconds=1),
            "finished",
        ),
    ],
)
def test_events_are_drawn_until_there_are_no_more(
    tmp_path: Path, last: TrainStopped | TrainFailed | TrainFinished, outcome: Outcome
) -> None:
    lines = [to_line(event) + "\n" for event in (step_finished(1), step_finished(2), last)]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(lines))
    over = Event()
    over.set()
    tracker = Recording()
    follow(Tail(file, str), [feed_of(tracker)], over)
    assert (tracker.steps, tracker.outcome) == ([1, 2], outcome)
