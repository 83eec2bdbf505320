"""The FLOPs of a token in one phase of a run, which a trainer divides by the peak of its GPUs."""

from dataclasses import dataclass

from relora_core.estimate.flops import executed_flops, model_flops
from relora_core.estimate.gpus import GpuModel
from relora_core.estimate.phases import planned_phases
from relora_core.events import Phase
from relora_core.shapes import ModelShape
from relora_core.spec import TrainSpec


@dataclass(frozen=True)
class TokenFlops:
    model: float  # of full-rank training: the base of MFU
    executed: float  # with what is recomputed: the base of HFU


def flops_of_phase(
    spec: TrainSpec, shape: ModelShape, phase: Phase, *, micro_batch: int, as_stored: bool = False
) -> TokenFlops:
    """Return the FLOPs of a token in micro-batches of so many sequences.

    `as_stored` says whether the device multiplies frozen weights as they are stored. Raise
    `ModelError` if the method does not fit the model.
    """
    plans = {
        planned.phase: planned.plan for planned in planned_phases(spec, shape, as_stored=as_stored)
    }
    length = tokens_of_sequence(spec, shape)
    return TokenFlops(
        model=model_flops(shape, length),
        executed=executed_flops(
            plans[phase],
            length,
            sequences=micro_batch,
            recomputed=spec.training.gradient_checkpointing == "full",
        ),
    )


def tokens_of_sequence(spec: TrainSpec, shape: ModelShape) -> int:
    """Return the tokens of a sequence, or of an image."""
    return shape.image_tokens or spec.data.sequence_length


def peak_flops(spec: TrainSpec, gpu: GpuModel) -> float:
    """Return the FLOPs a second that the maker states for the run's precision."""
    return gpu.bf16_flops if spec.training.precision == "bf16" else gpu.fp32_flops
