"""Full-rank training: the method to compare with."""

from transformers import PreTrainedConfig, PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase
from relora_core.methods.method import enter_phase
from relora_core.models.build import AutoModel
from relora_core.state import TrainState


class Full:
    def config(self, config: PreTrainedConfig, _: AutoModel, /) -> PreTrainedConfig:
        return config

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        """A full-rank model has the same layers from start to end."""

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        return [enter_phase(state, "full_rank")] if state.counters.phase is None else []
