"""What the trainer asks of a method."""

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
    """A method that leaves the model and its optimizer as they are, where it does not say more."""

    def config(self, config: PreTrainedConfig, _: AutoModel, /) -> PreTrainedConfig:
        """Return the config to train, for the one that the spec names.

        Raises `ModelError` if there is none.
        """
        return config

    def shape(self, model: PreTrainedModel, phase: Phase | None) -> None:  # noqa: B027 # most leave it alone
        """Give a fresh model the layers that it has in `phase`, so that a checkpoint fits.

        Raises `ModelError` if the method does not fit the model, in this phase or a later one.
        """

    def optimizer(self, model: nn.Module, spec: OptimizerSpec) -> Optimizer:
        """Build the optimizer that a run starts with. Raises as `build_optimizer` does."""
        return build_optimizer(model, spec)

    @abstractmethod
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
