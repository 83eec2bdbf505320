"""The interface between the trainer and a training method."""

from abc import ABC, abstractmethod

from torch import nn
from torch.optim import Optimizer
from transformers import PreTrainedConfig, PreTrainedModel

from relora_core.events import AnyTrainEvent, Phase, PhaseStarted
from relora_core.lowrank.inject import frozen_parameters
from relora_core.models.build import AutoModel
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import OptimizerSpec
from relora_core.state import TrainState


class Method(ABC):
    """A training method. By default, it does not change the model and its optimizer."""

    def config(self, config: PreTrainedConfig, _: AutoModel, /) -> PreTrainedConfig:
        """Return the config to train, which is by default the config of the spec.

        Raise `ModelError` if the method has no config for it.
        """
        return config

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:  # noqa: B027 # most leave it alone
        """Give a new model the layers of `phase`, so that a checkpoint can be loaded into it.

        Raise `ModelError` if the method does not fit the model, in this phase or in a later one.
        """

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        """Return the optimizer that a run starts with. Raise as `build_optimizer` does."""
        return build_optimizer(model, spec)

    @abstractmethod
    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        """Do what the timeline has before the next step. Return events of what was done."""


def enter_phase(state: TrainState, phase: Phase, *, target: int | None = None) -> PhaseStarted:
    """Record the new phase and return its event.

    `target` is the number of trainable parameters to match, for the method control.
    """
    state.counters.phase = phase
    trained = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    return PhaseStarted(
        step=state.counters.step,
        phase=phase,
        trainable_parameters=trained,
        target_parameters=target,
        frozen_parameters=frozen_parameters(state.model),
    )
