"""What the estimate says about the memory of a run, to start from and to compare with."""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import is_sharded, to_local
from relora_core.distributed.world import World
from relora_core.errors import ModelError
from relora_core.estimate.meta import shape_of_config
from relora_core.estimate.phases import PlannedPhase
from relora_core.estimate.planned_run import PlannedRun
from relora_core.events import Phase
from relora_core.lowrank.frozen.codes import FP8, INT8
from relora_core.spec import LowRank, TrainSpec
from relora_core.state import TrainState


@dataclass(frozen=True)
class ExpectedMemory:
    """The memory of one phase on this rank's device, as estimated."""

    planned: PlannedRun
    phase: PlannedPhase

    @classmethod
    def of(
        cls, spec: TrainSpec, model: PreTrainedModel, phase: Phase, world: World
    ) -> "ExpectedMemory | None":
        """Return the estimate, or None for a model that cannot be estimated or is sharded."""
        if is_sharded(next(model.parameters())):
            return None
        try:
            planned = PlannedRun.of(
                spec,
                shape_of_config(spec, model.config),
                gpus=world.size,
                as_stored=multiplies_as_stored(spec, world.device),
            )
        except ModelError:
            return None
        return cls(planned, next(each for each in planned.phases if each.phase == phase))

    def largest_micro_batch(self, usable: int) -> int:
        """Return the size to start from: at least 1, even if that is over the usable bytes."""
        return max(1, self.planned.largest_micro_batch(self.phase, usable=usable))

    def optimizer(self) -> int:
        return self.planned.memory(self.phase, 1).optimizer

    def peak(self, micro_batch: int) -> int:
        return self.planned.memory(self.phase, micro_batch).peak


def optimizer_bytes_to_come(
    state: TrainState, spec: TrainSpec, expected: ExpectedMemory | None
) -> int:
    """Return the bytes of optimizer state that the next step allocates on this rank.

    An optimizer allocates the moments of a parameter in its first step. Without an estimate, count
    all moments of each trained parameter.
    """
    tensors = (value for each in state.optimizer.state.values() for value in each.values())
    present = sum(to_local(value).nbytes for value in tensors if isinstance(value, Tensor))
    if expected is not None:
        return max(0, expected.optimizer() - present)
    trained = sum(to_local(p).numel() for p in state.model.parameters() if p.requires_grad)
    return max(0, 2 * spec.optimizer.moment_bytes * trained - present)


def multiplies_as_stored(spec: TrainSpec, device: torch.device) -> bool:
    """Return whether the device multiplies the frozen weights as they are stored."""
    if not isinstance(spec.method, LowRank):
        return False
    dtype = torch.bfloat16 if spec.training.precision == "bf16" else torch.float32
    match spec.method.frozen_dtype:
        case "fp8":
            return FP8.numbers.has_fast_matmul(device, dtype)
        case "int8":
            return INT8.numbers.has_fast_matmul(device, dtype)
        case _:
            return False
