"""What a trainer reports."""

from relora_core.events import StepFinished


def step_finished(step: int) -> StepFinished:
    return StepFinished(
        step=step,
        total_steps=100,
        phase="low_rank",
        loss=4.0,
        learning_rate=1e-3,
        grad_norm=0.5,
        tokens_seen=1000 * step,
        tokens_per_second=500.0,
        restarts=1,
    )
