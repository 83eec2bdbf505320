"""8-bit integers: their rows, and that a product of them is exact."""

import pytest
import torch
from torch import Tensor

from relora_core.errors import ModelError
from relora_core.lowrank.frozen import build_frozen
from relora_core.lowrank.frozen.integers import Integers, check_sides, has_int8_matmul
from tests.relora_core.lowrank.rounded import integer_rows, random


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-28, 1, 1e30])
def test_rows_are_rounded_to_a_nearest_multiple_of_a_127th_of_their_largest(
    size: float, dtype: torch.dtype
) -> None:
    rows = (random(200, 64, seed=1) * size).to(dtype)
    codes, scales = Integers().quantize_rows(rows)
    assert codes.dtype == torch.int8
    assert codes.abs().amax(dim=1).tolist() == [127] * 200
    assert torch.allclose(scales.double(), integer_rows(rows)[1], rtol=1e-6, atol=0)
    errors = (codes.double() * scales - rows).abs() / scales
    assert float(errors.max()) < 0.5 + 1e-4


def test_the_codes_of_opposite_rows_are_opposite() -> None:
    rows = random(50, 64, seed=1)
    assert torch.equal(Integers().quantize_rows(-rows)[0], -Integers().quantize_rows(rows)[0])


@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-38])
def test_a_row_too_small_to_scale_is_zeros(size: float) -> None:
    codes, scales = Integers().quantize_rows(torch.full((1, 4), size))
    assert not codes.any()
    assert scales.isfinite().all()


def numbers_of(pattern: str, *shape: int) -> Tensor:
    if pattern == "random":
        generator = torch.Generator().manual_seed(sum(shape))
        return torch.randint(-127, 128, shape, dtype=torch.int8, generator=generator)
    return torch.full(shape, 127 if pattern == "largest" else -127, dtype=torch.int8)


@pytest.mark.skipif(not has_int8_matmul(torch.device("cpu")), reason="they run on others alone")
@pytest.mark.parametrize("left", ["random", "largest", "smallest"])
@pytest.mark.parametrize("right", ["random", "largest"])
@pytest.mark.parametrize("shape", [(64, 512, 256), (5, 37, 21), (1, 1024, 64), (3, 133_144, 8)])
def test_a_sum_of_products_is_exact(shape: tuple[int, int, int], left: str, right: str) -> None:
    """Some processors add pairs of products in 16 bits, which the largest ones pass."""
    m, k, n = shape
    rows, columns, ones = numbers_of(left, m, k), numbers_of(right, n, k), torch.ones(m, 1)
    found = Integers().multiply(rows, ones, columns, None, dtype=torch.float64)
    assert torch.equal(found.long(), rows.long() @ columns.long().T)


@pytest.mark.skipif(not has_int8_matmul(torch.device("cpu")), reason="they run on others alone")
def test_the_transposed_factor_of_backward_is_multiplied_exactly() -> None:
    rows, columns = numbers_of("random", 64, 256), numbers_of("random", 256, 512)
    found = Integers().multiply(rows, torch.ones(64, 1), columns.T, None, dtype=torch.float64)
    assert torch.equal(found.long(), rows.long() @ columns.long())


@pytest.mark.parametrize("shape", [(2, 133_145), (133_145, 2)])
def test_a_side_whose_sums_could_pass_32_bits_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=r"int8 .* at most 133144; got .* bf16 or fp8"):
        build_frozen(torch.zeros(shape), "int8")


def test_the_longest_row_is_taken() -> None:
    check_sides(torch.empty(133_144, 133_144, device="meta"))
