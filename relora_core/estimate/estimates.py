"""Estimate a run: parameters, memory, FLOPs and time, without building weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from relora_core.counted import counted
from relora_core.data.epochs import PlannedSource
from relora_core.errors import ModelError
from relora_core.estimate.flops import executed_flops, flops_in_8_bits, model_flops
from relora_core.estimate.gpus import DEFAULT, GpuModel, gpu_named
from relora_core.estimate.memory import Memory
from relora_core.estimate.phases import PlannedPhase
from relora_core.estimate.planned_run import PlannedRun
from relora_core.estimate.shape_of import shape_of
from relora_core.estimate.storage import frozen_dtype
from relora_core.events import Phase
from relora_core.spec import FullMethod, TrainSpec

# The share of its peak that a GPU reaches. Trainers of dense models of 125M to 8B report 33% to
# 56% on A100 and H100 (llm-foundry, torchtitan, TinyLlama). Small models reach less.
UTILIZATION = 0.4


@dataclass(frozen=True)
class Hardware:
    gpu: GpuModel
    gpus: int = 1
    utilization: float = UTILIZATION


@dataclass(frozen=True)
class PhaseEstimate:
    phase: Phase
    steps: int
    tokens: int
    parameters: int
    trainable_parameters: int
    frozen_parameters: int
    memory: Memory  # of one GPU
    largest_micro_batch_size: int  # the largest that fits the GPU; 0 if one sequence does not fit
    model_flops_per_token: float
    executed_flops_per_token: float
    seconds: float


@dataclass(frozen=True)
class RunEstimate:
    method: str
    phases: tuple[PhaseEstimate, ...]
    peak_bytes: int  # of one GPU
    peak_phase: Phase
    fits: bool
    tokens: int
    model_flops: float
    executed_flops: float
    seconds: float


@dataclass(frozen=True)
class Ratios:
    """The numbers of the run divided by those of full-rank training."""

    trainable_parameters: float  # in the last phase
    peak_bytes: float
    last_phase_bytes: float
    executed_flops: float
    seconds: float


@dataclass(frozen=True)
class Estimate:
    name: str
    hardware: Hardware
    micro_batch_size: int
    run: RunEstimate
    full_rank: RunEstimate
    ratios: Ratios
    sources: list[PlannedSource]  # none for images


def estimate(
    spec: TrainSpec,
    *,
    gpu: str = DEFAULT,
    gpus: int = 1,
    utilization: float = UTILIZATION,
    sources: Sequence[PlannedSource] = (),
) -> Estimate:
    """Estimate the cost of `spec`, and of full-rank training of the same model to compare.

    With `micro_batch_size: auto`, both use the largest micro-batch with which every phase of both
    fits. Raise `ModelError` if the model's shape cannot be read, if the method does not fit it, or
    if the batch does not divide over the GPUs.
    """
    hardware = Hardware(gpu_named(gpu), gpus, utilization)
    _check(spec, hardware)
    full = spec.model_copy(update={"method": FullMethod()})
    runs = {run.method.name: _Run.of(run, hardware) for run in (spec, full)}
    micro_batch = min(run.micro_batch_size for run in runs.values())
    mine = runs[spec.method.name].estimate(micro_batch)
    other = runs[full.method.name].estimate(micro_batch)
    return Estimate(
        name=spec.name,
        hardware=hardware,
        micro_batch_size=micro_batch,
        run=mine,
        full_rank=other,
        ratios=_ratios(mine, other),
        sources=list(sources),
    )


def _check(spec: TrainSpec, hardware: Hardware) -> None:
    if hardware.gpus < 1 or not 0 < hardware.utilization <= 1:
        raise ModelError(
            "needs at least one GPU and a utilization over 0 and up to 1; "
            f"got {hardware.gpus} and {hardware.utilization}"
        )
    if spec.training.global_batch_size % hardware.gpus:
        raise ModelError(
            f"training.global_batch_size {spec.training.global_batch_size} does not divide over "
            f"{counted(hardware.gpus, 'GPU')}"
        )


@dataclass(frozen=True)
class _Run:
    """A planned run on given hardware."""

    planned: PlannedRun
    hardware: Hardware

    @classmethod
    def of(cls, spec: TrainSpec, hardware: Hardware) -> "_Run":
        as_stored = _flops_as_stored(spec, hardware.gpu) is not None
        planned = PlannedRun.of(spec, shape_of(spec), gpus=hardware.gpus, as_stored=as_stored)
        return cls(planned, hardware)

    @property
    def spec(self) -> TrainSpec:
        return self.planned.spec

    @property
    def micro_batch_size(self) -> int:
        wanted = self.spec.training.micro_batch_size
        if wanted != "auto":
            return min(wanted, self.planned.per_gpu)
        return max(1, min(self._largest_micro_batch(phase) for phase in self.planned.phases))

    def _largest_micro_batch(self, phase: PlannedPhase) -> int:
        return self.planned.largest_micro_batch(phase, usable=self.hardware.gpu.usable_bytes)

    def estimate(self, micro_batch: int) -> RunEstimate:
        phases = tuple(self._phase(phase, micro_batch) for phase in self.planned.phases)
        highest = max(phases, key=lambda phase: phase.memory.peak)
        return RunEstimate(
            method=self.spec.method.name,
            phases=phases,
            peak_bytes=highest.memory.peak,
            peak_phase=highest.phase,
            fits=highest.memory.peak <= self.hardware.gpu.usable_bytes,
            tokens=sum(phase.tokens for phase in phases),
            model_flops=sum(phase.tokens * phase.model_flops_per_token for phase in phases),
            executed_flops=sum(phase.tokens * phase.executed_flops_per_token for phase in phases),
            seconds=sum(phase.seconds for phase in phases),
        )

    def _phase(self, phase: PlannedPhase, micro_batch: int) -> PhaseEstimate:
        training = self.spec.training
        length = self.planned.sequence_length
        tokens = phase.steps * training.global_batch_size * length
        executed = executed_flops(
            phase.plan,
            length,
            sequences=micro_batch,
            recomputed=training.gradient_checkpointing == "full",
        )
        return PhaseEstimate(
            phase=phase.phase,
            steps=phase.steps,
            tokens=tokens,
            parameters=phase.plan.total,
            trainable_parameters=phase.plan.trained,
            frozen_parameters=phase.plan.total - phase.plan.trained,
            memory=self.planned.memory(phase, micro_batch),
            largest_micro_batch_size=self._largest_micro_batch(phase),
            model_flops_per_token=model_flops(self.planned.shape, length),
            executed_flops_per_token=executed,
            seconds=tokens * self._seconds_per_token(phase, executed, micro_batch),
        )

    def _seconds_per_token(self, phase: PlannedPhase, executed: float, micro_batch: int) -> float:
        training, gpu = self.spec.training, self.hardware.gpu
        in_8_bits = flops_in_8_bits(
            phase.plan,
            tokens=micro_batch * self.planned.sequence_length,
            recomputed=training.gradient_checkpointing == "full",
        )
        peak = gpu.bf16_flops if training.precision == "bf16" else gpu.fp32_flops
        at_peak = (executed - in_8_bits) / peak + in_8_bits / (
            _flops_as_stored(self.spec, gpu) or peak
        )
        return at_peak / (self.hardware.utilization * self.hardware.gpus)


def _flops_as_stored(spec: TrainSpec, gpu: GpuModel) -> float | None:
    """Return the FLOPs per second with frozen weights as stored, or None if not supported."""
    match frozen_dtype(spec.method):
        case "int8":
            return gpu.int8_flops
        case "fp8":
            return gpu.fp8_flops if spec.training.precision == "bf16" else None
        case "fp32" | "bf16" | "nf4":
            return None
        case dtype:
            assert_never(dtype)


def _ratios(run: RunEstimate, full: RunEstimate) -> Ratios:
    last, whole = run.phases[-1], full.phases[-1]
    return Ratios(
        trainable_parameters=last.trainable_parameters / whole.trainable_parameters,
        peak_bytes=run.peak_bytes / full.peak_bytes,
        last_phase_bytes=last.memory.peak / whole.memory.peak,
        executed_flops=run.executed_flops / full.executed_flops,
        seconds=run.seconds / full.seconds,
    )
