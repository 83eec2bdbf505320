"""GPUs by name, with the peak performance that their maker states."""

import re
from dataclasses import dataclass

from relora_core.errors import ModelError
from relora_core.suggestions import no_such


@dataclass(frozen=True)
class GpuModel:
    name: str
    memory_gib: int
    bf16_flops: float  # per second, dense, summed in fp32
    fp32_flops: float  # per second, without tensor cores: torch does not use TF32 by default
    fp8_flops: float | None  # per second, dense, summed in fp32; None without fp8 tensor cores
    int8_flops: float | None  # operations per second, dense, summed in 32 bits
    source: str

    @property
    def usable_bytes(self) -> int:
        """The bytes that a run can use, without CUDA context, libraries and fragmentation."""
        return int(USABLE * self.memory_gib * 1024**3)


USABLE = 0.92  # an assumption; `micro_batch_size: auto` leaves the rest free

GPUS = {
    gpu.name: gpu
    for gpu in (
        GpuModel("h100", 80, 989e12, 67e12, 1979e12, 1979e12, "NVIDIA H100 datasheet, SXM"),
        GpuModel("h200", 141, 989e12, 67e12, 1979e12, 1979e12, "NVIDIA H200 datasheet, SXM"),
        GpuModel("a100_80gb", 80, 312e12, 19.5e12, None, 624e12, "NVIDIA A100 datasheet"),
        GpuModel("a100_40gb", 40, 312e12, 19.5e12, None, 624e12, "NVIDIA A100 datasheet"),
        GpuModel("l40s", 48, 362e12, 91.6e12, 733e12, 733e12, "NVIDIA L40S datasheet"),
        GpuModel(
            "l4",
            24,
            121e12,
            30.3e12,
            242e12,
            242e12,
            "NVIDIA L4 datasheet, half of the sparse peak",
        ),
        GpuModel("a10", 24, 125e12, 31.2e12, None, 250e12, "NVIDIA A10 datasheet"),
        GpuModel(
            "rtx_4090", 24, 165e12, 82.6e12, 330e12, 661e12, "NVIDIA Ada architecture whitepaper"
        ),
        GpuModel(
            "rtx_3090", 24, 71e12, 35.6e12, None, 284e12, "NVIDIA GA102 architecture whitepaper"
        ),
    )
}


DEFAULT = "h100"  # if no GPU is named


def known_gpu(product: str) -> str | None:
    """Return the name in `GPUS` for a driver's name such as NVIDIA A100-SXM4-80GB, or None."""
    words = set(re.split(r"[^a-z0-9]+", product.lower()))
    return next((name for name in GPUS if words.issuperset(name.split("_"))), None)


def gpu_named(name: str) -> GpuModel:
    """Return the GPU of this name. Raise `ModelError` with the known names if there is none."""
    if name not in GPUS:
        raise ModelError(no_such("GPU", name, GPUS))
    return GPUS[name]
