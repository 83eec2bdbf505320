"""What the trainer asks of a method."""

from typing import Protocol

from transformers import PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase, PhaseStarted
from relora_core.state import TrainState


class Method(Protocol):
    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:
        """Give a fresh model the layers that it has in `phase`, so that a checkpoint fits.

        Raises `ModelError` if the method does not fit the model, in this phase or a later one.
        """

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        """Do what the timeline wants before the next step; report what was done."""


def enter_phase(state: TrainState, phase: Phase) -> PhaseStarted:
    state.counters.phase = phase
    parameters = list(state.model.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return PhaseStarted(
        step=state.counters.step,
        phase=phase,
        trainable_parameters=trainable,
        frozen_parameters=sum(p.numel() for p in parameters) - trainable,
    )
