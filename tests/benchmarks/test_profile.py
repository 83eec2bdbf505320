from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import profile
from benchmarks.profile import METHODS, PARTS, TABLE, StepProfile
from benchmarks.workloads import narrow

ATTENTION = "attention, without its softmax"


def test_the_page_shows_the_committed_profile() -> None:
    assert TABLE.page.read_text() == TABLE.page_text()


@pytest.mark.parametrize(
    ("operator", "part"),
    [
        ("aten::mm", "products with weights"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", ATTENTION),
        ("aten::bmm", ATTENTION),
        ("aten::baddbmm", ATTENTION),
        ("## Call CompiledFxGraph fabc ##", "fused elementwise kernels"),
        ("aten::_fused_adamw_", "optimizer"),
        ("aten::copy_", "other"),
    ],
)
def test_each_operator_counts_once(operator: str, part: str) -> None:
    assert profile._part(operator) == part


@pytest.mark.slow
@pytest.mark.integration
def test_a_profile_is_of_real_steps_of_both_methods(small_corpus: Path, tmp_path: Path) -> None:
    tiny = replace(
        narrow(1, precision="fp32", hidden=256, sequences=1),
        sequence_length=64,
        compile=False,
        corpus=small_corpus,
    )
    measured = StepProfile.measure(tiny, tmp_path)
    for method in METHODS:
        assert set(measured.seconds[method]) == set(PARTS)
        assert measured.seconds[method]["products with weights"] > 0
        assert measured.seconds[method]["optimizer"] > 0
