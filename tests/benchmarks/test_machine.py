import pytest

from benchmarks.machine import Precision, fastest_precision
from benchmarks.results import gpu_key


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({"avx2", "avx512f", "amx_bf16", "amx_tile"}, "bf16"),
        ({"avx2", "avx512f", "avx512_bf16"}, "bf16"),
        ({"avx2", "avx512f"}, "fp32"),
        (set(), "fp32"),
    ],
)
def test_bf16_is_taken_where_the_cpu_multiplies_it(flags: set[str], precision: Precision) -> None:
    assert fastest_precision(flags) == precision


@pytest.mark.parametrize(
    ("device", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA T4", None),
        (None, None),
    ],
)
def test_the_peak_of_a_gpu_is_found_by_its_name(device: str | None, key: str | None) -> None:
    assert gpu_key(device) == key
