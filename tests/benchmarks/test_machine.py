import pytest

from benchmarks.machine import Precision, fastest_precision


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
