"""The state of a run: everything that a checkpoint needs, except the spec."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.events import Phase
from relora_core.lowrank.cycle import RestartHistory
from relora_core.lowrank.spectrum import UpdateSpectrum
from relora_core.models.parallelize import Parallelism, Replicated


@dataclass
class Counters:
    """The counters of a run. They are plain JSON in a checkpoint."""

    step: int = 0  # steps begun; the results of the last ones may still be unread
    phase: Phase | None = None  # None until the first step is prepared
    restarts: int = 0
    tokens_seen: int = 0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    loss_sum: float = 0.0  # over the steps since the last report
    loss_count: int = 0
    grad_norm: float = 0.0  # of the last step
    recent_losses: list[float] = field(default_factory=list)  # the window of `loss_spikes`
    rewinds: int = 0
    # what `reset_every: auto` decides by (`training.automatic_restarts`)
    decided_restarts: list[int] = field(default_factory=list)  # the steps before which they come
    cycle_losses: list[float] = field(default_factory=list)  # of each block of the cycle, means
    cycle_ranks: list[float] = field(default_factory=list)  # of the update at the end of a block
    block_loss_sum: float = 0.0  # over the steps since the last block
    block_loss_count: int = 0
    data_offset: int = 0  # the number of steps whose data rewinds skipped
    evaluated_at: int | None = None  # the step of the last evaluation
    metrics: dict[str, float] = field(default_factory=dict)  # of the last evaluation
    seconds: float = 0.0  # of training, of all attempts up to the checkpoint
    best_score: float | None = None  # what `training.stop_when.patience` compares with
    evaluations_without_gain: int = 0
    stop_reason: str | None = None  # why the run ends before its last step
    best_step: int | None = None  # of the checkpoint that `checkpoint.keep_best` keeps
    best_step_score: float | None = None
    micro_batches: dict[Phase, int] = field(default_factory=dict)  # the size in each phase
    micro_batches_fit: str = ""  # the processes, device and settings for which these sizes fit

    @property
    def next_batch(self) -> int:
        """The number of the batch to read next. Data that a rewind skipped is never read again."""
        return self.step + self.data_offset

    def record(self, loss: float, grad_norm: float) -> None:
        """Count a step that updated the weights."""
        self.loss_sum += loss
        self.loss_count += 1
        self.block_loss_sum += loss
        self.block_loss_count += 1
        self.grad_norm = grad_norm
        self.skipped_in_a_row = 0


@dataclass
class TrainState:
    """The model, the optimizer and all other state that changes during training."""

    model: PreTrainedModel
    optimizer: Optimizer
    counters: Counters = field(default_factory=Counters)
    parallelism: Parallelism = field(default_factory=Replicated)
    # W0 of the target layers, fp32, on the CPU, read-only; empty without a spectrum
    reference: dict[str, Tensor] = field(default_factory=dict)
    spectra: list[UpdateSpectrum] = field(default_factory=list)  # the spectra of W - W0 so far
    restarts: RestartHistory = field(default_factory=RestartHistory)
    # unit vectors that span the row spaces of earlier cycles, by layer: (m, d_in), fp32, on the CPU
    directions: dict[str, Tensor] = field(default_factory=dict)
    # sets every A by the gradient on the batches from this number on
    follow_gradient: Callable[[PreTrainedModel, int], None] | None = None
