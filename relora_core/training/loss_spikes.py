"""Loss spikes: steps whose loss is far above the losses of the steps before them."""

from statistics import fmean, pstdev

from relora_core.events import LossSpiked
from relora_core.spec import TrainingSpec
from relora_core.state import Counters
from relora_core.training.step_result import StepResult

# A share of the mean. A loss that hardly varies has no noise to compare a rise with.
_LEAST_DEVIATION = 1e-3


def find_spike(result: StepResult, counters: Counters, spec: TrainingSpec) -> LossSpiked | None:
    """Compare the loss of a taken step with the window of losses before it, then move the window.

    Clear the window after a report, so that a long spike is one event, and a loss that stays on
    a new level is compared with that level. Keep the window over restarts and a change of phase,
    because these do not change the function that the model computes.
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
