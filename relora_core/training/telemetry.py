"""What each report tells of the machine: the pace, waiting for data, utilization, memory, sensors.

MFU is the share of the GPUs' peak that the arithmetic of full-rank training would take at this
pace, and HFU the share that the executed arithmetic takes, with what is recomputed (Chowdhery et
al., arXiv 2204.02311, appendix B).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch

from relora_core.distributed.world import World
from relora_core.errors import ModelError
from relora_core.estimate import GPUS, known_gpu
from relora_core.estimate.shape_of import shape_of
from relora_core.estimate.token_flops import (
    TokenFlops,
    flops_of_phase,
    peak_flops,
    tokens_of_sequence,
)
from relora_core.events import Phase
from relora_core.gpu_sensors import NOTHING_READ, GpuReadings, read_gpu
from relora_core.host_memory import peak_of_process, resident_of_process
from relora_core.shapes import ModelShape
from relora_core.spec import TrainSpec
from relora_core.training.expected_memory import multiplies_as_stored


class StepClock:
    """Times steps, without those in which the compiler works, between two reports."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._started = now()
        self._compiles = False
        self.reset()

    def reset(self) -> None:
        self.steps = 0
        self.seconds = 0.0
        self.waited = 0.0  # of these seconds, for data
        self.steps_of_compiler = 0
        self.seconds_of_compiler = 0.0

    def expect_compiler(self, *, compiles: bool) -> None:
        """Say whether the compiler works in the current step, or in the next if none has begun."""
        self._compiles = compiles

    @property
    def compiles(self) -> bool:
        """Whether the current step is one in which the compiler works."""
        return self._compiles

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave what happens inside out of the time of the current step."""
        started = self._now()
        yield
        self._started += self._now() - started

    @contextmanager
    def step(self) -> Iterator[None]:
        self._started = self._now()
        yield
        seconds = self._now() - self._started
        if self._compiles:
            self.steps_of_compiler += 1
            self.seconds_of_compiler += seconds
        else:
            self.steps += 1
            self.seconds += seconds
        self._compiles = False

    @contextmanager
    def waiting(self) -> Iterator[None]:
        started = self._now()
        yield
        self.waited += 0.0 if self._compiles else self._now() - started

    @property
    def steps_per_second(self) -> float:
        """The pace; of the compiler's steps if there are no others."""
        if self.steps:
            return self.steps / self.seconds
        return self.steps_of_compiler / self.seconds_of_compiler


@dataclass(frozen=True)
class Report:
    """The fields of a `train.step` event that tell of the machine. None: not known."""

    tokens_per_second: float
    step_seconds: float | None
    data_wait_seconds: float | None
    mfu: float | None
    hfu: float | None
    memory_allocated_bytes: int | None
    memory_peak_bytes: int | None
    gpu_utilization: float | None
    gpu_temperature_celsius: float | None
    gpu_power_watts: float | None


class Telemetry:
    """Measures a run on this rank's device."""

    def __init__(self, spec: TrainSpec, world: World, *, peak: float | None = None) -> None:
        """Measure a run. `peak` is the FLOPs a second of one device, by default those of its GPU.

        A CPU has no peak that is known, so its runs have no MFU unless it is given.
        """
        self.spec = spec
        self.world = world
        self.clock = StepClock()
        self._peak = _peak_of(spec, world.device) if peak is None else peak

    def report(self, phase: Phase, micro_batch: int) -> Report:
        """Return what was measured since the last report, and begin anew."""
        clock = self.clock
        flops = self._flops(phase, micro_batch) if clock.steps else None
        sensors = self._sensors()
        allocated, peak = _memory_of(self.world.device)
        report = Report(
            tokens_per_second=clock.steps_per_second * self.spec.tokens_per_step,
            step_seconds=clock.seconds / clock.steps if clock.steps else None,
            data_wait_seconds=clock.waited / clock.steps if clock.steps else None,
            mfu=None if flops is None else self._share_of_peak(flops.model),
            hfu=None if flops is None else self._share_of_peak(flops.executed),
            memory_allocated_bytes=allocated,
            memory_peak_bytes=peak,
            gpu_utilization=sensors.utilization,
            gpu_temperature_celsius=sensors.temperature_celsius,
            gpu_power_watts=sensors.power_watts,
        )
        clock.reset()
        return report

    @cached_property
    def _shape(self) -> ModelShape | None:
        try:
            return shape_of(self.spec)
        except ModelError:  # what cannot be estimated has no MFU
            return None

    @cached_property
    def _as_stored(self) -> bool:
        return multiplies_as_stored(self.spec, self.world.device)

    def _flops(self, phase: Phase, micro_batch: int) -> TokenFlops | None:
        if self._peak is None or self._shape is None:
            return None
        return flops_of_phase(
            self.spec, self._shape, phase, micro_batch=micro_batch, as_stored=self._as_stored
        )

    def _share_of_peak(self, flops_per_token: float) -> float:
        assert self._peak is not None
        assert self._shape is not None
        tokens = self.spec.training.global_batch_size * tokens_of_sequence(self.spec, self._shape)
        flops = self.clock.steps_per_second * tokens * flops_per_token
        return flops / (self._peak * self.world.size)

    def _sensors(self) -> GpuReadings:
        if self.world.device.type != "cuda":
            return NOTHING_READ
        return read_gpu(f"GPU-{torch.cuda.get_device_properties(self.world.device).uuid}")


def _memory_of(device: torch.device) -> tuple[int | None, int]:
    """Return the memory of now and its peak: of torch's tensors on a GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    resident = resident_of_process()
    return resident, max(resident or 0, peak_of_process())  # Linux updates the peak late


def _peak_of(spec: TrainSpec, device: torch.device) -> float | None:
    known = known_gpu(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return peak_flops(spec, GPUS[known]) if known else None
