"""An event in one line, for people."""

from rich.text import Text

from jobs import events as job
from relora_core import events as train

GOOD, BAD, NOTE, MOVE = "green", "red", "yellow", "cyan"


def describe(event: job.AnyJobEvent) -> Text:
    """When, a sign, and what happened."""
    sign, style, text = _job_event(event) or _milestone(event) or _train_event(event)
    return Text.assemble(
        (f"{event.time.astimezone():%H:%M:%S} ", "dim"), (f"{sign} ", f"bold {style}"), text
    )


Line = tuple[str, str, str]


def _job_event(event: job.AnyJobEvent) -> Line | None:
    match event:
        case job.JobQueued():
            return "●", MOVE, f"queued ({event.reason.replace('_', ' ')})"
        case job.JobClaimed():
            return "●", MOVE, f"claimed by {event.worker}"
        case job.JobStarted(resumed_from=None):
            return "▶", MOVE, "the trainer starts"
        case job.JobStarted():
            return (
                "▶",
                MOVE,
                f"the trainer goes on from the checkpoint of step {event.resumed_from}",
            )
        case job.JobRetrying():
            attempt = f"attempt {event.next_attempt} of {event.max_attempts}"
            return "↩", NOTE, f"back to the queue for {attempt}: {event.reason.message}"
        case job.JobWarned():
            return "!", NOTE, event.message
        case _:
            return _end_of_job(event)


def _end_of_job(event: job.AnyJobEvent) -> Line | None:
    match event:
        case job.WishMade():
            return "●", NOTE, f"asked to {event.wish}"
        case job.JobPaused():
            return "‖", NOTE, "paused"
        case job.JobCancelled():
            return "■", NOTE, "cancelled"
        case job.JobFailed():
            return "✗", BAD, f"failed: {event.error.message}"
        case job.JobSucceeded():
            return "✓", GOOD, "succeeded"
        case _:
            return None


def _milestone(event: job.AnyJobEvent) -> Line | None:
    match event:
        case train.Evaluated():
            return (
                "◆",
                GOOD,
                f"step {event.step}: validation loss {event.loss:.3f}, "
                f"perplexity {event.perplexity:,.1f}",
            )
        case train.CheckpointSaved():
            return "▣", MOVE, f"checkpoint of step {event.step} ({size(event.bytes)})"
        case train.Exported():
            return "▣", GOOD, f"merged model in {event.path}/ ({size(event.bytes)})"
        case train.Merged():
            return (
                "↻",
                "magenta",
                f"restart {event.restart} before step {event.step}: merged {event.layers} layers, "
                f"|BA| {event.update_norm:.3g} into |W| {event.weight_norm:.3g}",
            )
        case train.OptimizerReset():
            return "↻", "magenta", f"   optimizer: {event.kept:.0%} kept, by {event.mode}"
        case train.LearningRateRestarted():
            return (
                "↻",
                "magenta",
                f"   learning rate: {event.learning_rate_before:.2g} → {event.learning_rate:.2g}, "
                f"up to {event.learning_rate_target:.2g} in {event.warmup_steps} steps",
            )
        case _:
            return _end_of_training(event)


def _end_of_training(event: job.AnyJobEvent) -> Line | None:
    match event:
        case train.TrainFinished():
            took = duration(event.seconds)
            return (
                "✓",
                GOOD,
                f"trained {event.step:,} steps, {event.tokens_seen:,} tokens in {took}",
            )
        case train.TrainStopped():
            return "‖", NOTE, f"stopped after step {event.step}, saved"
        case train.TrainFailed():
            return "✗", BAD, f"the trainer failed: {event.message}"
        case train.Warned():
            return "!", NOTE, event.message
        case _:
            return None


def _train_event(event: job.AnyJobEvent) -> Line:
    match event:
        case train.DataPrepared():
            how = "found in the cache" if event.reused else "tokenized"
            counts = f"{event.documents:,} documents, {event.tokens:,} tokens"
            return "●", MOVE, f"{event.split} data {how}: {counts}"
        case train.TrainStarted():
            return (
                "▶",
                MOVE,
                f"{event.parameters / 1e6:.1f}M parameters on {event.world_size} x {event.device}, "
                f"{event.tokens_per_step:,} tokens a step, {event.total_steps:,} steps",
            )
        case train.PhaseStarted():
            trainable = f"{event.trainable_parameters / 1e6:.2f}M trainable"
            frozen = f"{event.frozen_parameters / 1e6:.2f}M frozen"
            return "▶", MOVE, f"{event.phase.replace('_', ' ')}: {trainable}, {frozen}"
        case train.StepFinished():
            return (
                "·",
                "dim",
                f"step {event.step}/{event.total_steps}  loss {event.loss:.3f}  "
                f"lr {event.learning_rate:.2g}  {event.tokens_per_second:,.0f} tokens/s",
            )
        case _:
            return "·", "dim", event.type


def size(num_bytes: int) -> str:
    """With a unit: 35.2 MB."""
    amount, units = float(num_bytes), ["B", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """As a clock shows it: 1:05 or 2:03:04."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
