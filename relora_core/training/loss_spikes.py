"""Spikes of the loss: steps far above what the steps before them let expect."""

from statistics import fmean, pstdev

from relora_core.events import LossSpiked
from relora_core.spec import TrainingSpec
from relora_core.state import Counters
from relora_core.training.step_result import StepResult

# Of the mean. A loss that hardly varies has no noise to measure a rise by.
_LEAST_DEVIATION = 1e-3


def find_spike(result: StepResult, counters: Counters, spec: TrainingSpec) -> LossSpiked | None:
    """Compare the loss of a step that was taken with the window before it, then move the window.

    The window starts anew after a report: a spike, however long or ragged, is one event, and a
    loss that stays on a new level is measured against that level. It runs on over restarts
    and the change of phase, because these leave the model's function as it was.
    """
    if spec.spike_z_score is None:
        return None
    window, size = counters.recent_losses, spec.spike_window
    spike = _measured(result, window) if len(window) >= size else None
    if spike is not None and spike.z_score > spec.spike_z_score:
        window.clear()
        return spike
    window.append(result.loss)
    del window[:-size]
    return None


def _measured(result: StepResult, window: list[float]) -> LossSpiked:
    mean = fmean(window)
    deviation = max(pstdev(window, mean), _LEAST_DEVIATION * abs(mean))
    return LossSpiked(
        step=result.step,
        loss=result.loss,
        mean=mean,
        deviation=deviation,
        z_score=(result.loss - mean) / deviation,
    )
