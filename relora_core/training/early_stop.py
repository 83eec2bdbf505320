"""Decide whether a run ends before its last step, as `training.stop_when` says.

The decision of an evaluation depends only on scores, which are in the checkpoint with the decision.
So a resumed run ends at the same step. `max_seconds` depends on the clock.
"""

import math
import time
from dataclasses import dataclass, field

from relora_core.counted import counted
from relora_core.distributed.world import World
from relora_core.spec.scores import StopWhenSpec, is_better_if_higher
from relora_core.state import Counters


@dataclass(frozen=True)
class EarlyStop:
    spec: StopWhenSpec
    world: World
    seconds_before: float = 0.0  # of training, in earlier attempts
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The seconds of training so far, in all attempts."""
        return self.seconds_before + time.monotonic() - self.started

    def after_report(self, counters: Counters) -> None:
        """End the run if it has trained for `max_seconds`. The main rank's clock decides."""
        limit = self.spec.max_seconds
        if limit is not None and self.world.broadcast(int(self.seconds >= limit)):
            counters.stop_reason = f"{limit:g} s of training are over"

    def after_evaluation(self, counters: Counters) -> None:
        """End the run if its score is good enough, or does not get better any more."""
        metric = self.spec.metric
        score = counters.metrics[metric]
        sign = -1 if is_better_if_higher(metric) else 1
        target, patience, best = self.spec.target, self.spec.patience, counters.best_score
        is_better = best is None or sign * score < sign * best - self.spec.min_improvement
        if math.isfinite(score) and is_better:
            counters.best_score, counters.evaluations_without_gain = score, 0
        else:
            counters.evaluations_without_gain += 1
        if target is not None and sign * score <= sign * target:
            counters.stop_reason = f"{metric} {score:.4g} reached its target, {target:g}"
        elif patience is not None and counters.evaluations_without_gain >= patience:
            evaluations = counted(patience, "evaluation")
            than = "finite" if best is None else f"better than {best:.4g}"
            counters.stop_reason = f"{metric} was not {than} in {evaluations}"
