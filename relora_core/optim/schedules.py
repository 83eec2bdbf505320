"""Learning-rate multipliers as pure functions of the step.

Everywhere, `step` counts from 0 and is the step about to be taken; 1.0 is the peak. No step
has a rate of zero.
"""

import math
from collections.abc import Callable


def cosine(step: int, *, total_steps: int, warmup_steps: int, min_lr_ratio: float) -> float:
    """Linear warm-up, then half a cosine from 1 to `min_lr_ratio` at `total_steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = _share_done(step, total_steps, warmup_steps)
    return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * done))


def linear(step: int, *, total_steps: int, warmup_steps: int, min_lr_ratio: float) -> float:
    """Linear warm-up, then a line from 1 to `min_lr_ratio` at `total_steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 1 - (1 - min_lr_ratio) * _share_done(step, total_steps, warmup_steps)


def wsd(
    step: int, *, total_steps: int, warmup_steps: int, decay_steps: int, min_lr_ratio: float
) -> float:
    """Warm-up, stable, decay (arXiv 2404.06395, section 4): 1 until the last `decay_steps`.

    The decay is 1 - sqrt, which ends lower than a line does (arXiv 2405.18392).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    decayed = max(0, step - (total_steps - decay_steps)) / decay_steps
    return 1 - (1 - min_lr_ratio) * math.sqrt(min(1.0, decayed))


def rewarmed(
    envelope: Callable[[int], float], step: int, *, since: int, warmup_steps: int
) -> float:
    """`envelope`, but climbing from near zero to where it is `warmup_steps` after `since`.

    An envelope that has come down to zero by then would leave no rate at all to climb to: the
    target is then its value at this step.
    """
    taken = step - since
    if taken >= warmup_steps:
        return envelope(step)
    target = envelope(since + warmup_steps) or envelope(step)
    return (taken + 1) / warmup_steps * target


def _share_done(step: int, total_steps: int, warmup_steps: int) -> float:
    return min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
