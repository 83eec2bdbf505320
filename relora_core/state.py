"""What changes while a run trains; with the spec, all that a checkpoint needs to hold."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import Phase
from relora_core.lowrank.spectrum import UpdateSpectrum
from relora_core.models.parallelize import Layout, Replicated


@dataclass
class Counters:
    """The run's numbers; plain JSON in a checkpoint."""

    step: int = 0  # steps begun; the results of the last few may still be unread
    phase: Phase | None = None  # None until the first step is prepared
    restarts: int = 0
    tokens_seen: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0  # over the steps since the last report
    loss_count: int = 0
    grad_norm: float = 0.0  # of the last step
    recent_losses: list[float] = field(default_factory=list)  # the window of `spikes`
    rewinds: int = 0
    data_offset: int = 0  # steps whose data rewinds have passed over
    evaluated_at: int | None = None  # the step of the last evaluation
    metrics: dict[str, float] = field(default_factory=dict)  # of the last evaluation
    micro_batches: dict[Phase, int] = field(default_factory=dict)  # the size in each phase
    micro_batches_fit: str = ""  # the processes, device and settings that they were found for

    @property
    def next_batch(self) -> int:
        """The number of the batch to read next: data that a rewind passed over never returns."""
        return self.step + self.data_offset

    def record(self, loss: float, grad_norm: float) -> None:
        """Count a step that was taken."""
        self.loss_sum += loss
        self.loss_count += 1
        self.grad_norm = grad_norm
        self.skipped_in_a_row = 0


@dataclass
class TrainState:
    model: PreTrainedModel
    optimizer: Optimizer
    counters: Counters = field(default_factory=Counters)
    layout: Layout = field(default_factory=Replicated)
    # W0 of the target layers, fp32, on the CPU, never written to; empty without a spectrum
    reference: dict[str, Tensor] = field(default_factory=dict)
    spectra: list[UpdateSpectrum] = field(default_factory=list)  # of W - W0, so far
