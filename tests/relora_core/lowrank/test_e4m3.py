"""What e4m3 rounds to, by plain arithmetic in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import ScalingType

from relora_core.lowrank.frozen.e4m3 import E4m3, has_fp8_matmul
from tests.relora_core.lowrank.rounded import e4m3_rows, random


def rounded(rows: Tensor) -> Tensor:
    codes, scales = E4m3().quantize_rows(rows)
    return codes.float() * scales


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spread", [0, 4, 12, 40])
def test_rows_are_rounded_to_the_nearest_e4m3_and_their_scales_are_powers_of_two(
    spread: int, dtype: torch.dtype
) -> None:
    exponents = torch.randint(-spread, spread + 1, (200, 64))
    rows = (random(200, 64, seed=1) * 2.0**exponents).to(dtype)
    expected, scales = e4m3_rows(rows)
    codes, found = E4m3().quantize_rows(rows)
    assert torch.equal(found.double(), scales)
    assert torch.equal(rounded(rows).double(), expected)
    assert float(codes.float().abs().max()) <= 448


def test_a_scale_is_as_small_as_the_largest_number_allows() -> None:
    largest = torch.tensor([448.0, 449.0, 224.0, 225.0, 0.0, 2.0**-140]).unsqueeze(1)
    _, scales = E4m3().quantize_rows(largest)
    assert scales.flatten().tolist() == [1, 2, 0.5, 1, 2**-126, 2**-126]


def test_a_rounded_row_is_rounded_no_further() -> None:
    once = rounded(random(50, 64, seed=1).bfloat16())
    assert torch.equal(rounded(once), once)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_product_has_the_bits_of_one_with_a_scale_for_each_row(*, scaled: bool) -> None:
    spread = 2.0 ** torch.randint(-30, 30, (48, 1), generator=torch.Generator().manual_seed(3))
    left, left_scales = E4m3().quantize_rows(random(48, 64, seed=1) * spread)
    right, right_scales = E4m3().quantize_rows(random(32, 64, seed=2) * spread[:32])
    ones = torch.ones_like(right_scales)
    expected = F.scaled_mm(
        left,
        right.T,
        left_scales,
        ScalingType.RowWise,
        (right_scales if scaled else ones).T,
        ScalingType.RowWise,
        output_dtype=torch.bfloat16,
    )
    found = E4m3().multiply(
        left, left_scales, right, right_scales if scaled else None, dtype=torch.bfloat16
    )
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    assert found.unique().numel() > 1000


def test_a_cpu_has_no_units() -> None:
    assert not has_fp8_matmul(torch.device("cpu"))
