"""ReLoRA (arXiv 2307.05695): cycles of low-rank updates, each merged into W at its end."""

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import AnyTrainEvent, LearningRateRestarted, Phase
from relora_core.lowrank.restart import NewFactors, restart
from relora_core.methods.lora import Lora, gradient_directions
from relora_core.methods.method import Method
from relora_core.optim.optimizers import factor_learning_rate
from relora_core.optim.timeline import Timeline
from relora_core.spec import OptimizerSpec, TrainSpec
from relora_core.spec.method import ReloraMethod
from relora_core.state import TrainState


def build(spec: TrainSpec, method: ReloraMethod, timeline: Timeline) -> Method:
    return Relora(spec, method, timeline)


class Relora(Method):
    def __init__(self, spec: TrainSpec, method: ReloraMethod, timeline: Timeline) -> None:
        self.method = method
        self.timeline = timeline
        self.seed = spec.training.seed
        self.first_cycle = Lora(spec, method, timeline)

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        self.first_cycle.shape(model, phase)

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        return self.first_cycle.optimizer(model, spec)

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        if not self.timeline.is_restart(state.counters.step):
            return self.first_cycle.before_step(state)
        step = state.counters.step
        number = state.counters.restarts = state.counters.restarts + 1
        events = restart(
            state.model,
            state.optimizer,
            self.method,
            step=step,
            number=number,
            new=NewFactors(self.seed, gradient_directions(state, self.method)),
        )
        if self.timeline.phases.is_rolling:
            return events
        return [*events, self._learning_rate_restarted(state.optimizer, step, number)]

    def _learning_rate_restarted(
        self, optimizer: Optimizer, step: int, number: int
    ) -> LearningRateRestarted:
        timeline = self.timeline
        reached = min(step + timeline.restart_warmup_steps, timeline.total_steps - 1)
        target = timeline.learning_rate_at(reached)
        return LearningRateRestarted(
            step=step,
            restart=number,
            warmup_steps=timeline.restart_warmup_steps,
            learning_rate_before=timeline.learning_rate_at(step - 1),
            learning_rate=timeline.learning_rate_at(step),
            learning_rate_target=target,
            factor_learning_rate_target=factor_learning_rate(optimizer, target),
        )
