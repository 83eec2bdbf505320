"""The phases of a run on a number of GPUs: the memory of each, and the micro-batch that fits."""

import math
from dataclasses import dataclass

from relora_core.estimate.activations import Pass
from relora_core.estimate.memory import Memory, memory
from relora_core.estimate.phases import PlannedPhase, planned_phases
from relora_core.estimate.storage import frozen_dtype
from relora_core.estimate.token_flops import tokens_of_sequence
from relora_core.shapes import ModelShape
from relora_core.spec import Factors, TrainSpec


@dataclass(frozen=True)
class PlannedRun:
    """A spec with the shape of its model: everything that the memory of its phases depends on."""

    spec: TrainSpec
    shape: ModelShape
    gpus: int
    phases: list[PlannedPhase]

    @classmethod
    def of(cls, spec: TrainSpec, shape: ModelShape, *, gpus: int, as_stored: bool) -> "PlannedRun":
        """Plan the run. `as_stored` says whether the GPU multiplies frozen weights as stored.

        Raise `ModelError` if the method does not fit the model.
        """
        return cls(spec, shape, gpus, planned_phases(spec, shape, as_stored=as_stored))

    @property
    def per_gpu(self) -> int:
        """The number of sequences of a step on each GPU."""
        return self.spec.training.global_batch_size // self.gpus

    @property
    def sequence_length(self) -> int:
        return tokens_of_sequence(self.spec, self.shape)

    def largest_micro_batch(self, phase: PlannedPhase, *, usable: int) -> int:
        """Return the largest divisor of `per_gpu` whose peak is at most `usable` bytes, or 0."""
        fitting = (n for n in divisors(self.per_gpu) if self.memory(phase, n).peak <= usable)
        return max(fitting, default=0)

    def memory(self, phase: PlannedPhase, micro_batch: int) -> Memory:
        training = self.spec.training
        step = Pass(
            phase.plan,
            sequences=micro_batch,
            sequence_length=self.sequence_length,
            compute_bytes=2 if training.precision == "bf16" else 4,
            compiled=training.compile,
            dropout=isinstance(self.spec.method, Factors) and self.spec.method.dropout > 0,
        )
        return memory(
            step,
            frozen_dtype=frozen_dtype(self.spec.method),
            optimizer=self.spec.optimizer,
            checkpointing=training.gradient_checkpointing,
            gpus=self.gpus,
            accumulates=micro_batch < self.per_gpu,
        )


def divisors(number: int) -> set[int]:
    smaller = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return {*smaller, *(number // n for n in smaller)}
