"""What the driver of an NVIDIA GPU reads off it: how busy, how hot, how much power and memory.

The package nvidia-ml-py asks NVML, the library of the driver. Without the package, the driver or
the reading, the value is None.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GpuReadings:
    utilization: float | None = None  # share of the last moments in which a kernel ran, 0 to 1
    temperature_celsius: float | None = None
    power_watts: float | None = None
    memory_used_bytes: int | None = None  # of all processes, with their CUDA contexts


NOTHING_READ = GpuReadings()


def read_gpu(uuid: str) -> GpuReadings:
    """Return the readings of the GPU or MIG slice with this id, such as GPU-5a1c...."""
    nvml = _nvml()
    return NOTHING_READ if nvml is None else read_by(nvml, uuid)


def read_by(nvml: Any, uuid: str) -> GpuReadings:
    """Return the readings that `nvml`, the module or one like it, has for a GPU."""
    try:
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError:
        return NOTHING_READ

    def read(reading: Callable[[], Any]) -> Any:
        try:
            return reading()
        except nvml.NVMLError:  # this GPU has no such sensor
            return None

    percent = read(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
    milliwatts = read(lambda: nvml.nvmlDeviceGetPowerUsage(gpu))
    return GpuReadings(
        utilization=None if percent is None else percent / 100,
        temperature_celsius=read(
            lambda: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
        ),
        power_watts=None if milliwatts is None else milliwatts / 1000,
        memory_used_bytes=read(lambda: int(nvml.nvmlDeviceGetMemoryInfo(gpu).used)),
    )


@cache
def _nvml() -> Any | None:
    """Return the module with the driver's library open, or None if one of the two is missing."""
    try:
        import pynvml  # of nvidia-ml-py
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.info("no sensors of GPUs: %s", error)
        return None
    return pynvml
