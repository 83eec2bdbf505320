"""The method lowrank: W = (alpha / r) B A from scratch (arXiv 2307.05695, table 1: LoRA)."""

from transformers import PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase
from relora_core.lowrank.inject import factored_layers, factorize
from relora_core.methods.method import Method, enter_phase
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.method import LowrankMethod
from relora_core.state import TrainState


def build(spec: TrainSpec, method: LowrankMethod, _timeline: Timeline) -> Method:
    return Lowrank(spec, method)


class Lowrank(Method):
    def __init__(self, spec: TrainSpec, method: LowrankMethod) -> None:
        self.seed = spec.training.seed
        self.method = method

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        """Replace the target layers by factored ones, and initialize them if the run is new.

        In a resumed run, the checkpoint has the factors.
        """
        factorize(model, self.method)
        if phase is None:
            for name, layer in factored_layers(model):
                layer.initialize(seed=self.seed, name=name)

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        return [enter_phase(state, "low_rank")] if state.counters.phase is None else []
