"""Events as lines for a terminal."""

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.schemas import events as job
from relora_core import events as train
from service.client.sse import Disconnected, Reconnected

GOOD, BAD, NOTE, MOVE, RESTART = "green", "red", "yellow", "cyan", "magenta"

SIGNS: dict[type[train.Event], tuple[str, str]] = {
    job.JobQueued: ("●", MOVE),
    job.JobClaimed: ("●", MOVE),
    job.JobStarted: ("▶", MOVE),
    job.JobRetrying: ("↩", NOTE),
    job.ActionRequested: ("●", NOTE),
    job.ProfileRequested: ("●", NOTE),
    job.JobPaused: ("‖", NOTE),
    job.JobSucceeded: ("✓", GOOD),
    job.JobFailed: ("✗", BAD),
    job.JobCancelled: ("■", NOTE),
    job.JobWarned: ("!", NOTE),
    job.JobPublished: ("▣", GOOD),
    train.DataPrepared: ("●", MOVE),
    train.WarmStarted: ("●", MOVE),
    train.TrainStarted: ("▶", MOVE),
    train.PhaseStarted: ("▶", MOVE),
    train.RestartDecided: ("●", RESTART),
    train.Merged: ("↻", RESTART),
    train.RestartReported: ("↻", RESTART),
    train.Evaluated: ("◆", GOOD),
    train.SetEvaluated: ("◆", GOOD),
    train.SpectrumMeasured: ("◆", MOVE),
    train.MemoryMeasured: ("◆", MOVE),
    train.ProfileSaved: ("▣", MOVE),
    train.CheckpointSaved: ("▣", MOVE),
    train.Exported: ("▣", GOOD),
    train.Warned: ("!", NOTE),
    train.LossSpiked: ("!", NOTE),
    train.Rewound: ("↩", NOTE),
    train.TrainFinished: ("✓", GOOD),
    train.TrainStopped: ("‖", NOTE),
    train.TrainFailed: ("✗", BAD),
}
LESSER = ("·", "dim")
INDENT = len("00:00:00 ● ")  # characters before the text


def describe(event: job.AnyJobEvent) -> Text:
    """Return a line with the time, a symbol and the text of an event."""
    return _line(event.time, SIGNS.get(type(event), LESSER), str(event))


def describe_line(news: Disconnected | Reconnected) -> Text:
    """Return a line that says that the stream of events broke or resumed."""
    match news:
        case Disconnected():
            sign, text = ("!", NOTE), f"the stream was cut, connecting again: {news.reason}"
        case Reconnected():
            sign, text = ("●", GOOD), f"connected again after {news.seconds:.0f} s"
    return _line(datetime.now().astimezone(), sign, text)


def _line(time: datetime, sign: tuple[str, str], text: str) -> Text:
    symbol, style = sign
    clock = f"{time.astimezone():%H:%M:%S} "
    return Text.assemble((clock, "dim"), (f"{symbol} ", f"bold {style}"), text)


def print_event(console: Console, line: Text) -> None:
    """Print a line of `describe`. In a narrow terminal, indent the wrapped text."""
    if not console.is_terminal:
        console.print(line, soft_wrap=True)  # one line per event, for programs
        return
    before, words = line.divide([INDENT])
    hanging = Table.grid()
    hanging.add_column(no_wrap=True)
    hanging.add_column()
    hanging.add_row(before, words)
    console.print(hanging)
