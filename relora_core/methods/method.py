"""What the trainer asks of a method."""

from typing import Protocol

from transformers import PreTrainedConfig, PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase, PhaseStarted
from relora_core.lowrank.inject import frozen_parameters
from relora_core.models.build import AutoModel
from relora_core.state import TrainState


class Method(Protocol):
    def config(self, config: PreTrainedConfig, auto_model: AutoModel, /) -> PreTrainedConfig:
        """The config to train, for the one that the spec names; most methods leave it alone.

        Raises `ModelError` if there is none.
        """

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        """Give a fresh model the layers that it has in `phase`, so that a checkpoint fits.

        Raises `ModelError` if the method does not fit the model, in this phase or a later one.
        """

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        """Do what the timeline wants before the next step; report what was done."""


def enter_phase(state: TrainState, phase: Phase, *, target: int | None = None) -> PhaseStarted:
    """`target` is the number of trainable parameters that was aimed at."""
    state.counters.phase = phase
    trained = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    return PhaseStarted(
        step=state.counters.step,
        phase=phase,
        trainable_parameters=trained,
        target_parameters=target,
        frozen_parameters=frozen_parameters(state.model),
    )
