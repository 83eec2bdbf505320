"""The process that feeds the trackers of an attempt: `python -m worker.trackers DESCRIPTION`.

It reads the trainer's events from their file, as the supervisor does. It ends when its standard
input closes, which means that no more events will come. It is a separate process so that a tracker
cannot harm the worker with its threads, its memory or its crashes.
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

from jobs.schemas.trackers import MlflowTracker, TensorboardTracker, TrackerSpec, WandbTracker
from relora_core.events import AnyTrainEvent, TrainFailed, TrainFinished
from relora_core.workdir.files import EVENTS
from worker.supervision.tail import Tail
from worker.trackers.feed import Feed
from worker.trackers.points import read
from worker.trackers.tracker import Outcome, Tracked, Tracker

POLL_SECONDS = 0.5


def follow(tail: Tail, feeds: Sequence[Feed], over: threading.Event) -> None:
    """Feed the events to the trackers until `over` is set and all events are read and logged."""
    outcome: Outcome = "stopped"
    while True:
        last = over.is_set()
        events = [event for _, event in tail.read()]
        for event in events:
            outcome = _outcome(event, outcome)
        news = [new for new in map(read, events) if new is not None]
        for feed in feeds:
            feed.take(news)
            feed.flush()
        if not events and last:
            break
        if not events:
            over.wait(POLL_SECONDS)
    for feed in feeds:
        feed.finish(outcome)


def _outcome(event: AnyTrainEvent, before: Outcome) -> Outcome:
    match event:
        case TrainFinished():
            return "finished"
        case TrainFailed():
            return "failed"
    return before


def opener(spec: TrackerSpec, run: Tracked) -> Callable[[], Tracker]:
    """Return the function that opens the tracker.

    It imports the tracker's package only when it is called, because the package may be missing.
    """
    match spec:
        case TensorboardTracker():
            return partial(_open_tensorboard, run)
        case WandbTracker():
            return partial(_open_wandb, spec, run)
        case MlflowTracker():
            return partial(_open_mlflow, spec, run)
        case _:
            assert_never(spec)


def _open_tensorboard(run: Tracked) -> Tracker:
    from worker.trackers.tensorboard import TensorboardRun

    return TensorboardRun(run)


def _open_wandb(spec: WandbTracker, run: Tracked) -> Tracker:
    from worker.trackers.wandb import WandbRun

    return WandbRun(spec, run)


def _open_mlflow(spec: MlflowTracker, run: Tracked) -> Tracker:
    from worker.trackers.mlflow import MlflowRun

    return MlflowRun(spec, run)


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    run = Tracked.model_validate_json(Path(sys.argv[1]).read_text())
    logging.getLogger("worker.trackers").addHandler(logging.FileHandler(run.failures, delay=True))
    run.reports.mkdir(exist_ok=True)
    feeds = [Feed(spec.name, opener(spec, run)) for spec in run.trackers]
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    follow(Tail(run.workdir / EVENTS, str), feeds, over)
    return 1 if any(feed.lost for feed in feeds) else 0


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.buffer.read()
    over.set()


if __name__ == "__main__":
    sys.exit(main())
