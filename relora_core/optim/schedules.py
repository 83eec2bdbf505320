"""Learning-rate multipliers as pure functions of the step.

`step` always counts from 0 and is the step about to be taken. 1.0 is the peak. No step has a
learning rate of zero.
"""

import math
from collections.abc import Callable


def cosine(step: int, *, total_steps: int, warmup_steps: int, min_lr_ratio: float) -> float:
    """Return a linear warm-up, then half a cosine from 1 to `min_lr_ratio` at `total_steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = _share_done(step, total_steps, warmup_steps)
    return min_lr_ratio + (1 - min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * done))


def linear(step: int, *, total_steps: int, warmup_steps: int, min_lr_ratio: float) -> float:
    """Return a linear warm-up, then a line from 1 to `min_lr_ratio` at `total_steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 1 - (1 - min_lr_ratio) * _share_done(step, total_steps, warmup_steps)


def wsd(
    step: int, *, total_steps: int, warmup_steps: int, decay_steps: int, min_lr_ratio: float
) -> float:
    """Return warm-up, stable, decay (arXiv 2404.06395, section 4): 1 until the last `decay_steps`.

    The decay is 1 - sqrt, which ends with a lower loss than a line (arXiv 2405.18392).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    decayed = max(0, step - (total_steps - decay_steps)) / decay_steps
    return 1 - (1 - min_lr_ratio) * math.sqrt(min(1.0, decayed))


def rewarmed(
    envelope: Callable[[int], float], step: int, *, since: int, warmup_steps: int
) -> float:
    """Return `envelope`, but with a linear warm-up of `warmup_steps` from the step `since` on.

    The warm-up starts near zero and ends at the envelope's value after it. If the envelope is zero
    there, the target is the envelope's value at this step.
    """
    taken = step - since
    if taken >= warmup_steps:
        return envelope(step)
    target = envelope(since + warmup_steps) or envelope(step)
    return (taken + 1) / warmup_steps * target


def _share_done(step: int, total_steps: int, warmup_steps: int) -> float:
    return min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
