"""The TensorBoard tracker: one event file for each attempt, all in one folder."""

from collections.abc import Sequence

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from worker.trackers.points import ResumedAt, TrackedPoint
from worker.trackers.tracker import Outcome, Tracked


class TensorboardRun:
    """Writer of one attempt's event file.

    When the run resumes, it writes a session start event. TensorBoard then drops the values of
    earlier files from that step on.
    """

    def __init__(self, run: Tracked) -> None:
        folder = str(run.reports / "tensorboard")
        self._writer = EventFileWriter(folder, filename_suffix=f".attempt-{run.attempt}")

    def draw(self, news: Sequence[TrackedPoint | ResumedAt]) -> None:
        for new in news:
            self._writer.add_event(_event(new))
        self._writer.flush()

    def finish(self, outcome: Outcome) -> None:  # noqa: ARG002 # TensorBoard stores no outcome
        self._writer.close()


def _event(new: TrackedPoint | ResumedAt) -> Event:
    at = new.time.timestamp()
    if isinstance(new, ResumedAt):
        start = SessionLog(status=SessionLog.START)
        return Event(wall_time=at, step=new.step + 1, session_log=start)
    values = [Summary.Value(tag=curve, simple_value=value) for curve, value in new.values.items()]
    return Event(wall_time=at, step=new.step, summary=Summary(value=values))
