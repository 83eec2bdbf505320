"""An event in a line, for a terminal."""

from rich.text import Text

from jobs import events as job
from relora_core import events as train

GOOD, BAD, NOTE, MOVE, RESTART = "green", "red", "yellow", "cyan", "magenta"

SIGNS: dict[type[train.Event], tuple[str, str]] = {
    job.JobQueued: ("●", MOVE),
    job.JobClaimed: ("●", MOVE),
    job.JobStarted: ("▶", MOVE),
    job.JobRetrying: ("↩", NOTE),
    job.WishMade: ("●", NOTE),
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
    train.Merged: ("↻", RESTART),
    train.Evaluated: ("◆", GOOD),
    train.SpectrumMeasured: ("◆", MOVE),
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


def describe(event: job.AnyJobEvent) -> Text:
    """When, a sign, and what happened."""
    sign, style = SIGNS.get(type(event), LESSER)
    time = f"{event.time.astimezone():%H:%M:%S}"
    return Text.assemble((f"{time} ", "dim"), (f"{sign} ", f"bold {style}"), str(event))
