"""LoRA (arXiv 2106.09685): one low-rank update, after an optional full-rank warm start."""

from collections.abc import Callable
from functools import partial

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase
from relora_core.lowrank.inject import find_targets, inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.methods import build_method
from relora_core.methods.method import Method, enter_phase
from relora_core.optim.optimizers import build_optimizer, keep_state, state_by_name
from relora_core.optim.timeline import Timeline
from relora_core.spec import LowRank, OptimizerSpec, TrainSpec
from relora_core.spec.method import LoraMethod
from relora_core.state import TrainState


def build(spec: TrainSpec, method: LoraMethod, timeline: Timeline) -> Method:
    return Lora(spec, method, timeline)


class Lora(Method):
    def __init__(self, spec: TrainSpec, method: LowRank, timeline: Timeline) -> None:
        self.spec = spec
        self.method = method
        self.timeline = timeline
        start = spec.model_copy(update={"method": method.warm_start_method})
        self.warm_start = build_method(start, timeline)

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        if phase == "low_rank":
            inject(model, self.method)
        else:
            find_targets(model, self.method)  # raises early if the rank does not fit

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        """Return the optimizer of the phase whose layers the model has."""
        is_low_rank = any(True for _ in low_rank_layers(model))
        return (
            build_optimizer(model, spec) if is_low_rank else self.warm_start.optimizer(model, spec)
        )

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        phase = self.timeline.phase(state.counters.step)
        if phase == state.counters.phase:
            return []
        if phase == "low_rank":
            self._switch(state)
        return [enter_phase(state, phase)]

    def _switch(self, state: TrainState) -> None:
        """Freeze W and add factors with new optimizer state. Other weights keep their moments.

        The warm start's optimizer is dropped: with it go the moments of W, also those in subspaces.
        """
        kept = state_by_name(state.model, state.optimizer)
        make_low_rank = partial(inject, method=self.method)
        state.model = state.parallelism.rebuild_with(state.model, make_low_rank)
        seed = self.spec.training.seed
        reinitialize(state.model, step=state.counters.step, restart=0, seed=seed)
        if directions := gradient_directions(state, self.method):
            directions()
        state.optimizer = build_optimizer(state.model, self.spec.optimizer)
        keep_state(kept, state.model, state.optimizer)


def gradient_directions(state: TrainState, method: LowRank) -> Callable[[], None] | None:
    """Return what sets every A by the gradient on the batches that come next, if it is wanted."""
    if method.factor_init != "gradient":
        return None
    assert state.follow_gradient is not None
    return partial(state.follow_gradient, state.model, state.counters.next_batch)
